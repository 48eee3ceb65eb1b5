"""What no route takes: parameters that it doesn't have, pages of elsewhere that write, and no JSON."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

from litestar import Request

from api.http.bodies import parse_body
from api.http.problems import Problem, bad_parameter
from api.live.client_limits import origin_allowed
from tickplant.near_matches import nearest

MAX_BODY_BYTES: Final = 64 * 1024
"""The longest body."""

_READING: Final = ("GET", "HEAD", "OPTIONS")

Asked: TypeAlias = Request[Any, Any, Any]


def admission(origins: Collection[str]) -> Callable[[Asked], Awaitable[None]]:
    """Return what looks at each request before its route does.

    Args:
        origins: whose pages may write, besides the API's own, as far as their browser lets them.
    """

    async def admit(request: Asked) -> None:
        """Refuse what would be ignored, misunderstood, or done for somebody who must not.

        Raises:
            Problem: saying what is wrong.
        """
        _check_parameters(request)
        if request.method not in _READING:
            _check_origin(request, origins)
        if "data" in request.route_handler.parsed_fn_signature.parameters:
            await _check_body(request)

    return admit


def _check_parameters(request: Asked) -> None:
    """Refuse a parameter that the route doesn't have, or that is given twice: it would be ignored."""
    handler = request.route_handler
    others = handler.resolve_dependencies().keys() | request.path_params.keys()
    known = {
        name.rstrip("_") for name in handler.parsed_fn_signature.parameters.keys() - others
    }  # the framework's own names are told apart by an underscore at the end
    for name, values in request.query_params.dict().items():
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise bad_parameter(name[:80], f"there is no such parameter{hint}")
        if len(values) > 1:
            raise bad_parameter(name, f"is given {len(values)} times: give it once")


def _check_origin(request: Asked, origins: Collection[str]) -> None:
    if not origin_allowed(request.headers.get("origin"), request.headers.get("host"), origins):
        raise Problem(403, "origin_refused", "its pages may not change anything: see TICKPLANT_API_ORIGINS")


class StrictRequest(Asked):
    """A request whose body is read as its route wants it: strictly, and with decimals as written."""

    async def json(self) -> Any:
        """Return the body as an instance of the type that the route takes.

        Raises:
            Problem: it is something else.
        """
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return parse_body(await self.body(), get_args(kind)[0] if get_origin(kind) is Annotated else kind)


async def _check_body(request: Asked) -> None:
    """Refuse what is no JSON. A page of elsewhere can send other kinds without being requested permission."""
    if request.content_type[0] != "application/json":
        raise Problem(415, "unsupported_media_type", "send application/json")
    if not await request.body():
        raise Problem(400, "bad_request", "the body is empty: send a JSON object")
