"""Parameters that several routes share, and their parsers."""

from typing import Annotated, Any, Final, TypeAlias

from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter, SkipValidation
from litestar.types import Scope

from api.access.caller import ApiCaller, caller_of
from api.http.paging import DEFAULT_PAGE_LENGTH, MAX_PAGE_LENGTH, ListToken, TimeRangeToken, decode_token
from api.http.problems import Problem, bad_parameter, conflict
from api.http.table_formats import TABLE_FORMATS
from api.http.whole_lists import Pages, whole_request
from api.queries.history import MAX_US, MIN_US
from api.queries.symbols import AmbiguousSymbolError, SymbolDirectory, UnknownSymbolError
from api.requests.alerts import MAX_USER_LENGTH, TEXT
from db.trades import MIN_TRADE_ID
from tickplant.market import SymbolId
from tickplant.time_parsing import PATTERN, parse_time_us

SymbolText = Annotated[
    str,
    PathParameter(
        description="A symbol as `venue:symbol`, or without the venue where only one venue has it.",
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
FormatText = Annotated[
    str | None,
    QueryParameter(
        name="format",
        description="`json`: a page. `csv`, `jsonl` (JSON lines), `arrow` (a stream) and `parquet`: the whole"
        " list in one response, oldest first if it has `start`, with the fields of the rows as columns."
        " Arrow and Parquet have exact decimals and timestamps in UTC. Without this parameter the header"
        " Accept decides; JSON if that has no preference.",
        examples=[Example(value="csv")],
        schema_extra={"enum": ["json", *TABLE_FORMATS, None]},
    ),
]
SymbolFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only those of this symbol, written as in paths; of all symbols if not given.",
        examples=[Example(value="binance:BTCUSDT")],
    ),
]
UserFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=MAX_USER_LENGTH,
        pattern=TEXT,
        description="Only those of this user; of all users if not given.",
        examples=[Example(value="default")],
    ),
]
AlertId = Annotated[str, PathParameter(description="From the response to its creation.")]


class PageRequest(Pages, frozen=True):
    """A page of a list that is returned in one direction."""

    def last_key(self, kind: type[ListToken], list_key: str) -> Any:
        """Return the key of the last row of the page before; None for the first page.

        Raises:
            Problem: `after` is not the token of a page of this list.
        """
        return None if self.after is None else decode_token(self.after, kind, list_key).last_key


class RangePageRequest(Pages, frozen=True, kw_only=True):
    """A page of a list in ascending order of time that is returned in either direction."""

    start: str | None
    end: str | None

    @property
    def newest(self) -> bool:
        """Whether pages go back from the newest rows."""
        return self.start is None and self.whole is None

    def time_range(self, list_key: str) -> TimeRangeToken:
        """Return the rows that remain, by time and id.

        Args:
            list_key: the list, with its filters.

        Raises:
            Problem: one of the parameters is invalid.
        """
        if self.after is not None:
            return decode_token(self.after, TimeRangeToken, list_key)
        low, high = self.times()
        return TimeRangeToken(list_key, self.newest, (low, MIN_TRADE_ID), (high, MIN_TRADE_ID))

    def times(self) -> tuple[int, int]:
        """Return both ends of the time range, in microseconds since the epoch.

        Raises:
            Problem: one of them is invalid.
        """
        low = MIN_US if self.start is None else _time("start", self.start)
        high = MAX_US if self.end is None else _time("end", self.end)
        if low > high:
            raise conflict("end", "is before start")
        return low, high


def page_request(limit: Limit = DEFAULT_PAGE_LENGTH, after: After = None) -> PageRequest:
    """Return the parameters of a page of a list."""
    return PageRequest(limit, after)


def range_page_request(
    scope: Scope,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = DEFAULT_PAGE_LENGTH,
    after: After = None,
    format_: FormatText = None,
) -> RangePageRequest:
    """Return the parameters of a page of a list in order of time."""
    whole = whole_request(scope, format_)
    return RangePageRequest(start=start, end=end, limit=limit, after=after, whole=whole)


def history_page_request(
    scope: Scope, limit: Limit = DEFAULT_PAGE_LENGTH, after: After = None, format_: FormatText = None
) -> PageRequest:
    """Return the parameters of a page of a list that is also available as a table."""
    return PageRequest(limit, after, whole_request(scope, format_))


def _caller(scope: Scope) -> ApiCaller:
    return caller_of(scope)


OF_REQUESTS: Final = {
    "page": Provide(page_request, sync_to_thread=False),
    "history_page": Provide(history_page_request, sync_to_thread=False),
    "range_page": Provide(range_page_request, sync_to_thread=False),
    "caller": Provide(_caller, sync_to_thread=False),
}
"""What a request is about, injected into the routes that have a parameter of its name."""

Sender: TypeAlias = SkipValidation[NamedDependency[ApiCaller]]
Page: TypeAlias = SkipValidation[NamedDependency[PageRequest]]
HistoryPage: TypeAlias = SkipValidation[NamedDependency[PageRequest]]
RangePage: TypeAlias = SkipValidation[NamedDependency[RangePageRequest]]


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


async def resolve_filter(directory: SymbolDirectory, text: str | None) -> SymbolId | None:
    """Resolve the symbol of a filter; None where it is not given. Raises as `resolve`."""
    return None if text is None else await resolve(directory, text)


def storable_id(alert_id: str) -> str:
    """Return an id that the database accepts; an empty one, which no alert has, if it is not printable."""
    return alert_id if alert_id.isprintable() else ""


def _time(parameter: str, text: str) -> int:
    try:
        return min(max(parse_time_us(text), MIN_US), MAX_US)
    except ValueError as error:
        raise bad_parameter(parameter, str(error)) from error
