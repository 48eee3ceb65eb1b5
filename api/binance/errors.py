"""Errors as Binance writes them: a code, and a message."""

from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from api.http.problems import problem_of, problem_response

UNKNOWN: Final = -1000
UNAVAILABLE: Final = -1001
ILLEGAL_CHARACTERS: Final = -1100
MISSING_PARAMETER: Final = -1102
UNREAD_PARAMETER: Final = -1104
BAD_INTERVAL: Final = -1120
BAD_SYMBOL: Final = -1121

_ADVICE: Final = {
    404: "There is no such path: docs/clients.md lists those that are served.",
    405: "Only GET is served: there are no accounts and no orders.",
}
"""Messages in place of the framework's, which are two words."""


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


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response for an error; unexpected errors are logged with their traceback."""
    headers: dict[str, str] = {}
    if isinstance(error, BinanceError):
        status, code, message = error.status, error.code, str(error)
    elif isinstance(error, HTTPException):
        status, code = error.status_code, UNKNOWN
        message, headers = _ADVICE.get(status, error.detail), dict(error.headers or {})
    else:
        problem = problem_of(error)
        status, headers = problem.status, problem.headers
        code, message = (UNAVAILABLE if status == 503 else UNKNOWN), problem.detail
        problem_response(request, error)  # logs it
    body = msgspec.json.encode({"code": code, "msg": message})
    return Response(body, status_code=status, media_type="application/json", headers=headers)
