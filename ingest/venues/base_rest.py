"""The protocols of a venue's REST interface: history, list of symbols, candles. Each is optional."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, runtime_checkable

from ingest.venues.base import ParsedRows, VenueAdapter
from tickplant.errors import PoisonError, TickplantError
from tickplant.klines import Kline


class BusyError(TickplantError):
    """The venue asks for a later retry, in the body instead of by a status."""


class UnreadableError(PoisonError):
    """The body of a page of history can't be decoded; a smaller page may be fine."""


class MissingRange(NamedTuple):
    """Ids of one symbol whose trades are to be fetched."""

    symbol: str
    first_id: int
    last_id: int
    after_time_us: int
    """The event time of the trade before; 0 if unknown. No trade of the range is earlier."""
    alone: bool = False
    """Whether to request no trade beside these, because a neighbouring one can't be decoded."""


TRADING: Final = "trading"
"""The status of a symbol that trades; other statuses are the venue's own words."""


class ListedSymbol(NamedTuple):
    """A symbol in a venue's list."""

    name: str
    """As in `venue:symbol`."""
    status: str


@runtime_checkable
class ListingAdapter(Protocol):
    """A venue that lists its symbols."""

    @property
    def symbols_path(self) -> str:
        """Return the path of a REST request for all symbols."""
        ...

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the answer.

        Raises:
            PoisonError: it is malformed.
        """
        ...


@runtime_checkable
class HistoryAdapter(VenueAdapter, Protocol):
    """A venue that serves past trades over REST, by id or by time; it is `numbered`."""

    @property
    def history_headers(self) -> Mapping[str, str]:
        """Return the headers of a request for history."""
        ...

    @property
    def history_by_time(self) -> bool:
        """Whether `history_path` uses the gap's time only, so that ids must be searched by time."""
        ...

    def history_path(self, gap: MissingRange) -> str:
        """Return path and query of a REST request for the first page of the gap's trades.

        A page starts with the last trade before the gap, or earlier, and ends within the gap or with the
        first trade after it; if the gap is `alone`, without these two. So the venue omitted an id that is
        missing between two trades of a page; a page proves nothing about other ids.
        """
        ...

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history, in ascending order of id.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of history.
            BusyError: the venue asks for a later retry, with status 200.
        """
        ...


@runtime_checkable
class KlineAdapter(Protocol):
    """A venue that serves candles, which are compared with the stored ones."""

    @property
    def klines_at_once(self) -> int:
        """Return the most candles of one request."""
        ...

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return path and query of a REST request for candles of one minute, at most `klines_at_once`.

        Args:
            symbol: in the venue's notation.
            start_us: open time of the first, inclusive.
            end_us: exclusive.
        """
        ...

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse an answer into candles, ascending; it may include others than requested.

        Raises:
            PoisonError: it is malformed.
            BusyError: the venue asks for a later retry, with status 200.
        """
        ...
