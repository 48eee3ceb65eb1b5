"""Cuts pages of lists, and encodes the tokens that lead from one page to the next. Pure.

Pages are cut at keys, never counted, so that rows inserted between two requests are neither repeated nor hide
others. One row more than the page holds is read, to know whether there are more.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from api.http.problems import Problem
from api.queries.history import MAX_US, MIN_US

MAX_PAGE_LENGTH: Final = 1000
DEFAULT_PAGE_LENGTH: Final = 500

# The database must be able to store what a forged token holds.
_TimeUs = Annotated[int, Meta(ge=MIN_US, le=MAX_US)]
_Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Name = Annotated[str, Meta(pattern="^[^\\0]*$")]


class PageToken(Struct, frozen=True, array_like=True):
    """The part of a list that has not been returned yet."""

    list_key: str
    """The list's name with its filters: a token is valid for no other list."""


class ListToken(PageToken, frozen=True, array_like=True):
    """A list that is returned in one direction."""

    last_key: Any
    """The key of the last row returned."""


class RangeToken(PageToken, frozen=True, array_like=True):
    """A list in ascending order that is returned in either direction: the rows between two keys."""

    newest: bool
    """Whether pages go back from the newest rows, rather than forward."""
    low: Any
    high: Any


class TimeRangeToken(RangeToken, frozen=True, array_like=True):
    """A list in order of time."""

    low: tuple[_TimeUs, _Id]
    """A time in microseconds since the epoch, and a trade id where needed."""
    high: tuple[_TimeUs, _Id]


_SignalPosition = tuple[_TimeUs, _Name, _Name, _Name, _Id]
"""Time, venue, symbol, strategy and number."""


class SignalRangeToken(RangeToken, frozen=True, array_like=True):
    """A list of signals in order of time."""

    low: _SignalPosition
    high: _SignalPosition


class GapListToken(ListToken, frozen=True, array_like=True):
    """A list of gaps, newest first."""

    last_key: tuple[_TimeUs, _Name, _Name, _Id, _Id]
    """Time of detection, venue, symbol, first and last id."""


class AlertListToken(ListToken, frozen=True, array_like=True):
    """A list of alerts, newest first."""

    last_key: tuple[_TimeUs, _Name]
    """Time of creation, and id."""


class NotificationListToken(ListToken, frozen=True, array_like=True):
    """A list of notifications, newest first."""

    last_key: tuple[_TimeUs, _Id]
    """Time of creation, and id."""


class FiringListToken(ListToken, frozen=True, array_like=True):
    """A list of firings or their deliveries, newest first."""

    last_key: tuple[_TimeUs, _Name, _Id]
    """Time, alert and number."""


class NameListToken(ListToken, frozen=True, array_like=True):
    """A list in order of names."""

    last_key: str


T = TypeVar("T")
TokenT = TypeVar("TokenT", bound=PageToken)
ListTokenT = TypeVar("ListTokenT", bound=ListToken)
RangeTokenT = TypeVar("RangeTokenT", bound=RangeToken)


def cut(rows: list[T], limit: int, *, newest: bool = False) -> tuple[list[T], bool]:
    """Return a page of rows, and whether there are more.

    Args:
        rows: up to `limit` + 1 of them.
        limit: the length of a page.
        newest: whether the page holds the last rows, rather than the first.
    """
    return (rows[-limit:] if newest else rows[:limit]), len(rows) > limit


def cut_list(rows: list[T], limit: int, token: Callable[[T], ListTokenT]) -> tuple[list[T], str | None]:
    """Return a page of a list, and the text that leads to the next one; None for the last.

    Args:
        rows: up to `limit` + 1 of them.
        limit: the length of a page.
        token: returns the token for the rows after a row.
    """
    page, more = cut(rows, limit)
    return page, encode_token(token(page[-1])) if more else None


def cut_range(
    rows: list[T], limit: int, requested: RangeTokenT, key: Callable[[T], tuple[Any, ...]]
) -> tuple[list[T], str | None]:
    """Return a page of a range, and the text that leads to the next one; None for the last.

    Args:
        rows: up to `limit` + 1 of those requested, in ascending order.
        limit: the length of a page.
        requested: the range.
        key: returns the key of a row, at which the range is cut.
    """
    page, more = cut(rows, limit, newest=requested.newest)
    edge = page[0 if requested.newest else -1] if more else None
    return page, encode_beyond(requested, None if edge is None else key(edge))


def encode_beyond(requested: RangeToken, edge: tuple[Any, ...] | None) -> str | None:
    """Return the text that leads beyond the key at which a page of a range ends; None for the last."""
    if edge is None:
        return None
    return encode_token(replace(requested, **{"high" if requested.newest else "low": edge}))


def encode_remaining(requested: TimeRangeToken, remaining: tuple[int, int] | None) -> str | None:
    """Return the text that leads to the remaining range of open times; None where nothing remains."""
    if remaining is None:
        return None
    return encode_token(replace(requested, low=(remaining[0], 0), high=(remaining[1], 0)))


def encode_token(token: PageToken) -> str:
    """Return the text of a token."""
    return urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def decode_token(text: str, kind: type[TokenT], list_key: str) -> TokenT:
    """Decode the text of a token.

    Raises:
        Problem: the text is something else, or the token of another list.
    """
    try:
        token = msgspec.json.decode(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)), type=kind)
    except (Base64Error, ValueError, msgspec.DecodeError) as error:
        raise _unknown_page("is not the `next` of a page") from error
    if token.list_key != list_key:
        raise _unknown_page(f"belongs to {token.list_key[:80]}, not to {list_key}")
    return token


def _unknown_page(detail: str) -> Problem:
    return Problem(404, "unknown_page", f"after: {detail}", parameter="after")
