"""The protocols of venue adapters: pure functions between a venue's messages and trades.

An adapter opens no socket, reads no clock and keeps no state between two calls.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from tickplant.errors import PoisonError, TickplantError
from tickplant.klines import Kline
from tickplant.market import Trade


class BusyError(TickplantError):
    """The venue asks to retry later, in a body instead of a status."""


class UnreadableError(PoisonError):
    """The body of a page of history can't be decoded; a smaller page may be fine."""


class Heartbeat(Struct, frozen=True):
    """The connection is alive; may have the newest trade id and the venue's time."""

    symbol: str | None = None
    last_trade_id: int | None = None
    """The symbol's newest trade; if it was not received, it was lost."""
    time_us: int | None = None
    """The venue's time."""


class Subscribed(Struct, frozen=True):
    """The venue has accepted subscriptions."""

    symbols: tuple[str, ...]


class Refused(Struct, frozen=True):
    """The venue has refused something: an unknown symbol, a wrong key, a limit."""

    reason: str
    symbols: tuple[str, ...] = ()
    """The symbols concerned; empty where the venue names none."""


class Closing(Struct, frozen=True):
    """The venue is about to close the connection."""

    reason: str


class BadRow(NamedTuple):
    """A row of a message that is no valid trade."""

    payload: bytes
    """The row's text."""
    reason: str
    trade_id: int | None = None
    """The trade id of a row of history, if it can be read."""


class ParsedRows(Struct, frozen=True):
    """The rows of a message or page: valid trades, and bad rows."""

    trades: tuple[Trade, ...]
    bad_rows: tuple[BadRow, ...]


Notice = Heartbeat | Subscribed | Refused | Closing
Parsed = tuple[Trade, ...] | ParsedRows | Notice
"""Trades in the venue's order; a notice; or an empty tuple for a frame to ignore."""


class MissingRange(NamedTuple):
    """Ids of one symbol whose trades are to be fetched."""

    symbol: str
    first_id: int
    last_id: int
    after_time_us: int
    """The event time of the trade before; 0 if unknown. No trade of the range is earlier."""
    alone: bool = False
    """Whether to request only these trades, because a neighbouring one can't be decoded."""


class VenueLimits(Struct, frozen=True, kw_only=True):
    """A venue's limits for one IP address; None for no limit."""

    symbols_per_connection: int
    connections: int | None = None
    """Concurrent connections; where it is 1, a second connection closes the first."""
    messages_per_s: float | None = None
    connects: int | None = None
    """Connection attempts in `connects_window_s`."""
    connects_window_s: float = 300
    connection_age_s: float | None = None
    """The age at which the venue closes a connection."""
    silence_s: float = 60
    """A connection counts as dead after this time without any message, heartbeats included."""
    requests_per_s: float
    """REST requests for pages of history within the venue's budget."""
    requests_per_symbol: bool = False
    """Whether the venue counts the requests of each symbol separately."""


class Secret(str):
    """A string that code can use, such as a websocket client, but that is never displayed.

    `str`, `repr`, `format` and everything that uses them (f-strings, `%`, logs, errors) return a placeholder.
    """

    def __str__(self) -> str:
        return "(secret)"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)


class VenueAdapter(Protocol):
    """The adapter of one venue."""

    @property
    def name(self) -> str:
        """Return the venue's name, as in `venue:symbol`."""
        ...

    @property
    def numbered(self) -> bool:
        """Whether the venue assigns consecutive ids to the trades of a symbol."""
        ...

    @property
    def acknowledges(self) -> bool:
        """Whether the venue answers `subscribe_messages`, so that no answer means failure."""
        ...

    @property
    def ws_url(self) -> str:
        """Return the base of the venue's websocket address, where no other is configured."""
        ...

    @property
    def rest_url(self) -> str:
        """Return the base of the venue's REST address, where no other is configured."""
        ...

    @property
    def limits(self) -> VenueLimits:
        """Return the venue's limits."""
        ...

    def normalize_symbol(self, symbol: str) -> str:
        """Return a symbol as the venue writes it."""
        ...

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the websocket address of the symbols' trades, with subscriptions where the venue allows it.

        A `Secret` if it contains a key.
        """
        ...

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages to send once connected; none where the address subscribes."""
        ...

    def parse_frame(self, frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is broken, or all of its rows are.
        """
        ...


TRADING: Final = "trading"
"""The status of a symbol that trades; other statuses are the venue's own terms."""


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
            PoisonError: it is broken.
        """
        ...


@runtime_checkable
class HistoryAdapter(VenueAdapter, Protocol):
    """A venue whose REST interface serves past trades by id or by time; its trades are `numbered`."""

    @property
    def history_headers(self) -> Mapping[str, str]:
        """Return the headers of a request for history."""
        ...

    @property
    def history_by_time(self) -> bool:
        """Whether `history_path` uses only the gap's time, so that ids must be found by time."""
        ...

    def history_path(self, gap: MissingRange) -> str:
        """Return path and query of a REST request for the first page of the gap's trades.

        A page starts with the last trade before the gap, or earlier, and ends within the gap or with the
        first trade after it; if the gap is `alone`, without these two. So an id that is missing between two
        trades of a page was left out by the venue; a page proves nothing about other ids.
        """
        ...

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history, in ascending order of id.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of history.
            BusyError: the venue asks to retry later, with status 200.
        """
        ...


@runtime_checkable
class KlineAdapter(Protocol):
    """A venue with candles of its own, to compare with the stored ones."""

    @property
    def klines_at_once(self) -> int:
        """Return the most candles of one request."""
        ...

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return path and query of a REST request for candles of one minute, at most `klines_at_once`.

        Args:
            symbol: as the venue writes it.
            start_us: open time of the first, inclusive.
            end_us: exclusive.
        """
        ...

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse an answer, in ascending order; it may include other candles than requested.

        Raises:
            PoisonError: it is broken.
            BusyError: the venue asks to retry later, with status 200.
        """
        ...
