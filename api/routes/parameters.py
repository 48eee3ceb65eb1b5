"""Parameters that several routes share, and their parsers."""

from typing import Annotated, Final

from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from api.http.paging import MAX_PAGE_LENGTH, TimeRangeToken, decode_token
from api.http.problems import Problem, bad_parameter, conflict
from api.queries.history import MAX_US, MIN_US
from api.queries.symbols import AmbiguousSymbolError, SymbolDirectory, UnknownSymbolError
from db.trades import MIN_TRADE_ID
from tickplant.market import SymbolId
from tickplant.time_parsing import PATTERN, parse_time_us

SymbolText = Annotated[
    str,
    PathParameter(
        description="A symbol as `venue:symbol`, or without the venue where only one has it.",
        examples=[Example(value="binance:BTCUSDT")],
    ),
]
TIMES: Final = {"pattern": PATTERN}

StartText = Annotated[
    str | None,
    QueryParameter(
        description="Start, inclusive: RFC 3339 with an offset, a date (its midnight in UTC), or since"
        " 1970 seconds (below 10^11), milliseconds (below 10^14), microseconds (below 10^17) or nanoseconds."
        " With it, pages run forward from there; without it, they go back from the newest.",
        examples=[Example(value="2024-08-08T23:55:00Z")],
        schema_extra=TIMES,
    ),
]
EndText = Annotated[
    str | None,
    QueryParameter(
        description="End, exclusive; written as `start`.",
        examples=[Example(value="1723162200")],
        schema_extra=TIMES,
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_LENGTH, description="The most items on a page.")]
After = Annotated[
    str | None,
    QueryParameter(description="`next` of the page before this one; it includes the bounds."),
]


async def resolve(directory: SymbolDirectory, text: str) -> SymbolId:
    """Resolve the symbol in a path or a parameter; in a path, the symbol may contain slashes.

    Raises:
        Problem: there is no such symbol, or several.
    """
    try:
        return await directory.resolve(text.removeprefix("/"))
    except UnknownSymbolError as error:
        raise Problem(404, "unknown_symbol", str(error), near=error.near) from error
    except AmbiguousSymbolError as error:
        raise conflict("symbol", str(error), near=error.candidates) from error


def parse_range(start: str | None, end: str | None, after: str | None, of: str) -> TimeRangeToken:
    """Return the requested range of a list.

    Args:
        start: a time, or None.
        end: likewise.
        after: the token of the next page, or None.
        of: the list, with its filters.

    Raises:
        Problem: one of them is invalid.
    """
    if after is not None:
        return decode_token(after, TimeRangeToken, of)
    low, high = parse_times(start, end)
    return TimeRangeToken(of, start is None, (low, MIN_TRADE_ID), (high, MIN_TRADE_ID))


def parse_times(start: str | None, end: str | None) -> tuple[int, int]:
    """Return both ends of a time range, in microseconds since the epoch.

    Raises:
        Problem: one of them is invalid.
    """
    low = MIN_US if start is None else _time("start", start)
    high = MAX_US if end is None else _time("end", end)
    if low > high:
        raise conflict("end", "is before start")
    return low, high


def _time(parameter: str, text: str) -> int:
    try:
        return min(max(parse_time_us(text), MIN_US), MAX_US)
    except ValueError as error:
        raise bad_parameter(parameter, str(error)) from error
