"""Errors as Binance writes them: a code, and a message."""

from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http.problems import MEDIA_TYPE, Problem, problem_response
from api.queries.symbols import SymbolDirectory

UNKNOWN: Final = -1000
UNAVAILABLE: Final = -1001
UNAUTHORIZED: Final = -1002
TOO_MANY_REQUESTS: Final = -1003
ILLEGAL_CHARACTERS: Final = -1100
MISSING_PARAMETER: Final = -1102
UNREAD_PARAMETER: Final = -1104
BAD_INTERVAL: Final = -1120
BAD_SYMBOL: Final = -1121

_ADVICE: Final = {
    "not_found": "There is no such path: docs/clients.md lists those that are served.",
    "method_not_allowed": "Only GET is served: there are no accounts and no orders.",
}
"""Messages in place of those of this API's own paths, by code."""

PATH: Final = "/binance"
_MEDIA_TYPE: Final = "application/json"
_REPLACED: Final = (b"content-type", b"content-length")
_CODES: Final = {401: UNAUTHORIZED, 403: UNAUTHORIZED, 429: TOO_MANY_REQUESTS, 503: UNAVAILABLE}
"""By HTTP status."""


class BinanceError(Exception):
    """A request can't be served."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        """Describe the error; codes are in https://developers.binance.com/docs/binance-spot-api-docs/errors."""
        super().__init__(message)
        self.code = code
        self.status = status


def bad_symbol() -> BinanceError:
    """Return the error for a symbol that the venue doesn't have."""
    return BinanceError(BAD_SYMBOL, "Invalid symbol.")


async def require_venue(directory: SymbolDirectory, venue: str) -> None:
    """Refuse a venue without symbols.

    Raises:
        Problem: it is unknown.
    """
    if venue == "binance" or any(symbol.venue == venue for symbol in directory.configured):
        return
    if not any(symbol.venue == venue for symbol in await directory.all()):
        raise Problem(404, "unknown_venue", f"there are no symbols of a venue {venue[:40]!r}")


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response for an error of a route; unexpected errors are logged with their traceback."""
    if not isinstance(error, BinanceError):
        return problem_response(request, error)  # `with_binance_errors` translates it
    return Response(_body(error.code, str(error)), status_code=error.status, media_type=_MEDIA_TYPE)


def with_binance_errors(app: ASGIApp) -> ASGIApp:
    """Return an application whose problem documents below `PATH` are errors as Binance writes them.

    They may be of any layer: of unknown paths and methods, API keys, limits, outages and handshakes.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(f"{PATH}/"):
            await app(scope, receive, send)
            return
        start: Any = None

        async def send_translated(message: Any) -> None:
            nonlocal start
            if message["type"].endswith("http.response.start") and _is_problem(message):
                start = message
                return
            if start is not None:
                body = _translated(message["body"])
                length = (b"content-length", str(len(body)).encode())
                kept = [row for row in start["headers"] if row[0].lower() not in _REPLACED]
                headers = [*kept, (b"content-type", _MEDIA_TYPE.encode()), length]
                changed: Any = {**start, "headers": headers}
                message, start = {**message, "body": body}, None
                await send(changed)
            await send(message)

        await app(scope, receive, send_translated)

    return serve


def _is_problem(start: Any) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(MEDIA_TYPE.encode())
        for name, value in start["headers"]
    )


def _translated(document: bytes) -> bytes:
    problem = msgspec.json.decode(document)
    message = _ADVICE.get(problem["code"], problem["detail"])
    return _body(_CODES.get(problem["status"], UNKNOWN), message)


def _body(code: int, message: str) -> bytes:
    return msgspec.json.encode({"code": code, "msg": message})
