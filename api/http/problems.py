"""Maps errors to RFC 9457 problem documents."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope, Send

from db.pool import OUTAGE as DATABASE_OUTAGE
from tickplant.literals import INVALID_VALUE, allowed_values
from tickplant.redis_errors import OUTAGE as REDIS_OUTAGE
from tickplant.validation_messages import sentence_of

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
OUTAGE: Final = (*REDIS_OUTAGE, *DATABASE_OUTAGE)
"""Errors that mean that Redis or the database is unavailable."""
RETRY_AFTER_S: Final = 2
"""The Retry-After of an outage."""

NO_SUCH_PATH: Final = "no such path: /docs describes the paths that exist"

_ADVICE: Final = {
    404: NO_SUCH_PATH,
    405: "method not allowed: the header Allow lists the methods of this path, and /docs describes them",
    413: "the body is longer than 64 KiB",
}
"""Details in place of the framework's, which are two words."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An error that is sent to the client as a problem document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Create the problem.

        Args:
            status: HTTP status.
            code: a stable name for the kind of problem, in lower case with underscores.
            detail: what is wrong this time, and what to do about it.
            headers: for the response.
            members: further members of the document.
        """
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": f"urn:tickplant:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }


def bad_parameter(parameter: str, detail: str, **members: Any) -> Problem:
    """Return the problem of a parameter that is wrong."""
    return Problem(400, "bad_parameter", f"{parameter}: {detail}", parameter=parameter, **members)


def wrong_value(name: str, message: str, kinds: Mapping[str, Any]) -> Problem:
    """Return the problem of a value that msgspec refused.

    Args:
        name: the parameter, or the field of the body.
        message: msgspec's message.
        kinds: the types of all of them, by name.
    """
    words = allowed_values(kinds[name]) if name in kinds and message.startswith(INVALID_VALUE) else ()
    hint = f"; allowed are {', '.join(words)}" if words else ""
    return bad_parameter(name.rstrip("_"), sentence_of(message) + hint)


def conflict(parameter: str, detail: str, **members: Any) -> Problem:
    """Return the problem of a well-formed parameter that conflicts with others or with the present state."""
    return Problem(409, "conflict", f"{parameter}: {detail}", parameter=parameter, **members)


def unavailable(server: str) -> Problem:
    """Return the problem of an outage of a server."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "unavailable", f"{server} is unavailable; try again in a moment", headers=headers)


def busy(detail: str) -> Problem:
    """Return the problem of a limit that is reached for now."""
    return Problem(503, "busy", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def problem_of(error: Exception, handler: BaseRouteHandler | None = None) -> Problem:
    """Return the problem for an error, perhaps in a route.

    Redis and the database share some errors of the operating system; those are attributed to the database,
    since the Redis client wraps its own.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationException):
        return _invalid(error, handler)
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, REDIS_OUTAGE) and not isinstance(error, OSError):
        return unavailable("Redis")
    if isinstance(error, DATABASE_OUTAGE):
        return unavailable("the database")
    return Problem(500, "internal_error", "internal error; it has been logged")


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response for an error; unexpected errors are logged with their traceback."""
    problem = problem_of(error, request.scope.get("route_handler"))
    if problem.code == "internal_error":
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(
        msgspec.json.encode(problem.document()),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


async def send_problem(scope: Scope, send: Send, problem: Problem) -> None:
    """Send a problem as the response of a request, or of a websocket handshake, outside of any route."""
    kind = "websocket.http.response" if scope["type"] == ScopeType.WEBSOCKET else "http.response"
    body = msgspec.json.encode(problem.document())
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **problem.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    start: Any = {"type": f"{kind}.start", "status": problem.status, "headers": encoded}
    end: Any = {"type": f"{kind}.body", "body": body}
    await send(start)
    await send(end)


def _invalid(error: ValidationException, handler: BaseRouteHandler | None) -> Problem:
    """Return the problem of a parameter that the framework refused."""
    faults = error.extra if isinstance(error.extra, list) else []
    for fault in faults:
        if isinstance(fault, dict) and fault.get("key"):
            signature = handler.parsed_fn_signature.parameters if handler else {}
            kinds = {name: parameter.annotation for name, parameter in signature.items()}
            return wrong_value(str(fault["key"]), str(fault.get("message", "is wrong")), kinds)
    return Problem(400, "bad_request", error.detail)


def _http(error: HTTPException) -> Problem:
    status = error.status_code
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    return Problem(status, code, _ADVICE.get(status, error.detail), headers=error.headers)
