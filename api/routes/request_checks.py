"""Checks of each request before its route: parameters, origin and body."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

from litestar import Request
from litestar.params import HeaderParameter

from api.http.bodies import parse_body
from api.http.problems import Problem, bad_parameter
from api.live.client_limits import origin_allowed
from tickplant.near_matches import nearest

MAX_BODY_BYTES: Final = 64 * 1024
"""The longest body."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")

AnyRequest: TypeAlias = Request[Any, Any, Any]


def request_check(origins: Collection[str]) -> Callable[[AnyRequest], Awaitable[None]]:
    """Return the check of each request before its route.

    Args:
        origins: those whose pages may write, besides the API's own, as far as their browser lets them.
    """

    async def admit(request: AnyRequest) -> None:
        """Refuse a request with unknown parameters, from a foreign origin, or with a body that is not JSON.

        Raises:
            Problem: the request is refused.
        """
        _check_parameters(request)
        if request.method not in _SAFE_METHODS:
            _check_origin(request, origins)
        if "data" in request.route_handler.parsed_fn_signature.parameters:
            await _check_body(request)

    return admit


def _check_parameters(request: AnyRequest) -> None:
    """Refuse a parameter that the route doesn't have, or that is given twice; it would be ignored."""
    handler = request.route_handler
    dependencies = handler.resolve_dependencies()
    parameters = handler.parsed_fn_signature.parameters.items()
    names = {name for name, field in parameters if not isinstance(field.kwarg_definition, HeaderParameter)}
    names -= request.path_params.keys()
    for name in names & dependencies.keys():
        names = names - {name} | dependencies[name].parsed_fn_signature.parameters.keys()
    known = {
        name.rstrip("_") for name in names - {"scope"}
    }  # names that the framework reserves end with an underscore
    for name, values in request.query_params.dict().items():
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise bad_parameter(name[:80], f"no such parameter{hint}")
        if len(values) > 1:
            raise bad_parameter(name, f"given {len(values)} times; it is allowed once")


def _check_origin(request: AnyRequest, origins: Collection[str]) -> None:
    if not origin_allowed(request.headers.get("origin"), request.headers.get("host"), origins):
        raise Problem(403, "origin_refused", "pages of this origin may not write: see TICKPLANT_API_ORIGINS")


class StrictRequest(AnyRequest):
    """A request whose body is parsed strictly as the type of its route, with decimals as written."""

    async def json(self) -> Any:
        """Return the body as an instance of the route's type.

        Raises:
            Problem: it is something else.
        """
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return parse_body(await self.body(), get_args(kind)[0] if get_origin(kind) is Annotated else kind)


async def _check_body(request: AnyRequest) -> None:
    """Refuse a body that is not JSON: a page of another origin can send other types without a preflight."""
    if request.content_type[0] != "application/json":
        raise Problem(415, "unsupported_media_type", "send application/json")
    if not await request.body():
        raise Problem(400, "bad_request", "the body is empty; a JSON object is required")
