"""Errors that callers of the client get. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

PERMANENT: Final = frozenset({400, 401, 403, 404, 405, 409, 410, 421, 422})
"""HTTP statuses that trying again does not change."""


class PlantError(Exception):
    """The API refused a request, or can't answer it."""

    def __init__(self, code: str, message: str, near: Sequence[str] = ()) -> None:
        """Describe the error.

        Args:
            code: for programs: one of those of the API, `not_recoverable` or `unreachable`.
            message: for people.
            near: similar names, which may have been meant.
        """
        super().__init__(message)
        self.code = code
        self.near = tuple(near)


class TemporaryError(PlantError):
    """Trying again later may succeed; live iterators do so by themselves."""


class _Problem(Struct):
    """The part of a problem document that is used."""

    code: str = ""
    detail: str = ""
    near: list[str] = []


def error_of_response(status: int, body: bytes) -> PlantError:
    """Return the error of an HTTP response that is not a success."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:  # the page of a proxy, for example
        problem = _Problem()
    kind = PlantError if status in PERMANENT else TemporaryError
    return kind(
        problem.code or f"http_{status}", problem.detail or f"the API answered {status}", problem.near
    )
