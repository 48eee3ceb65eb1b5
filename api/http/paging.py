"""Pages of lists, and the opaque text that leads from one page to the next. Pure.

Pages are cut at keys, never counted, so that what is inserted meanwhile neither repeats nor hides a row.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from api.http.problems import Problem
from api.queries.history import FIRST_US, LAST_US

MOST: Final = 1000
"""The longest page."""
USUAL: Final = 500
"""The length of a page where none is given."""


# What a caller makes up must not reach the database if it can't be stored there.
_TimeUs = Annotated[int, Meta(ge=FIRST_US, le=LAST_US)]
_Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Name = Annotated[str, Meta(pattern="^[^\\0]*$")]


class Rest(Struct, frozen=True, array_like=True):
    """What of a list has not been shown yet."""

    of: str
    """The list it belongs to."""


class RestOfTimes(Rest, frozen=True, array_like=True):
    """A list in order of time: a part of it."""

    newest: bool
    """Whether pages go back in time from the newest, rather than forward."""
    low: tuple[_TimeUs, _Id]
    """The lower end: a time in microseconds since the epoch, and where needed a trade id."""
    high: tuple[_TimeUs, _Id]
    """The upper end, likewise."""


class RestOfGaps(Rest, frozen=True, array_like=True):
    """A list of gaps, the newest first: those after one."""

    beyond: tuple[_TimeUs, _Name, _Name, _Id, _Id]
    """Its time of detection, venue, symbol, first and last id."""


_SignalPlace = tuple[_TimeUs, _Name, _Name, _Name, _Id]
"""A time, venue, symbol, strategy and number."""


class RestOfSignals(Rest, frozen=True, array_like=True):
    """A list of signals in order of time: a part of it."""

    newest: bool
    """Whether pages go back in time from the newest, rather than forward."""
    low: _SignalPlace
    high: _SignalPlace


class RestOfAlerts(Rest, frozen=True, array_like=True):
    """A list of alerts, the newest first: those after one."""

    beyond: tuple[_TimeUs, _Name]
    """When it was made, and its id."""


class RestOfNumbered(Rest, frozen=True, array_like=True):
    """A list of firings or of their deliveries, the newest first: those after one."""

    beyond: tuple[_TimeUs, _Name, _Id]
    """Its time, alert and number."""


class RestOfNames(Rest, frozen=True, array_like=True):
    """A list in order of names: those after one."""

    beyond: str


RestT = TypeVar("RestT", bound=Rest)
RowT = TypeVar("RowT")


class Page(NamedTuple, Generic[RowT]):
    """The rows of a page, in the order of the list."""

    rows: list[RowT]
    following: RowT | None
    """The first row of the next page; None on the last page."""


def cut_page(rows: list[RowT], limit: int, *, newest: bool = False) -> Page[RowT]:
    """Cut a page from rows that were read with a limit of one more.

    Args:
        rows: in the order of the list.
        limit: the length of the page.
        newest: whether the page is the end of the rows rather than their start.
    """
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[-limit:], rows[-limit - 1]) if newest else Page(rows[:limit], rows[limit])


def write_rest(rest: Rest | None) -> str | None:
    """Return the text for the next page; None where there is none."""
    return urlsafe_b64encode(msgspec.json.encode(rest)).rstrip(b"=").decode() if rest else None


def read_rest(text: str, kind: type[RestT], of: str) -> RestT:
    """Read what `write_rest` wrote.

    Raises:
        Problem: it is something else, or belongs to another list.
    """
    try:
        rest = msgspec.json.decode(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)), type=kind)
    except (Base64Error, ValueError, msgspec.DecodeError) as error:
        raise _no_page("not what `next` of an answer was") from error
    if rest.of != of:
        raise _no_page(f"belongs to {rest.of[:80]}, not to {of}")
    return rest


def _no_page(detail: str) -> Problem:
    return Problem(404, "unknown_page", f"after: {detail}", parameter="after")
