"""What a venue adapter is: pure functions between a venue's messages and the words of the market.

An adapter opens no socket, reads no clock and keeps nothing between two calls.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from tickplant.errors import PoisonError, TickplantError
from tickplant.klines import Kline
from tickplant.market import Trade


class BusyError(TickplantError):
    """The venue answers a request for history with "later", in a body instead of a status."""


class UnreadableError(PoisonError):
    """The body of a page of history can't be decoded, and so none of its rows; a smaller page may be fine."""


class Heartbeat(Struct, frozen=True):
    """The venue is alive, and may say how far it has come."""

    symbol: str | None = None
    last_trade_id: int | None = None
    """The newest trade of the symbol: if it has not been received, it has been lost."""
    time_us: int | None = None
    """The venue's time."""


class Subscribed(Struct, frozen=True):
    """The venue has accepted subscriptions."""

    symbols: tuple[str, ...]


class Refused(Struct, frozen=True):
    """The venue has refused something: an unknown symbol, a wrong key, a limit."""

    reason: str
    symbols: tuple[str, ...] = ()
    """Those it concerns; none where the venue doesn't say."""


class Closing(Struct, frozen=True):
    """The venue is about to close the connection."""

    reason: str


class BadRow(NamedTuple):
    """A row of a message that holds no trade that can be stored."""

    payload: bytes
    """Its text."""
    reason: str
    trade_id: int | None = None
    """Of a row of history: its id, where at least that can be read."""


class ParsedRows(Struct, frozen=True):
    """A message with several rows, of which some are bad; the others' trades are as good as any."""

    trades: tuple[Trade, ...]
    bad_rows: tuple[BadRow, ...]


Notice = Heartbeat | Subscribed | Refused | Closing
Parsed = tuple[Trade, ...] | ParsedRows | Notice
"""Trades, in the venue's order; a notice; or an empty tuple, where the frame does not concern us."""


class MissingRange(NamedTuple):
    """Trades of one symbol that are to be fetched."""

    symbol: str
    first_id: int
    last_id: int
    after_time_us: int
    """An event time that no trade of the gap is before; 0 where none is known."""
    alone: bool = False
    """Whether to ask for these trades alone, since one beside them can't be read."""


class VenueLimits(Struct, frozen=True, kw_only=True):
    """What a venue allows one address to do; None for what it doesn't limit."""

    symbols_per_connection: int
    connections: int | None = None
    """Connections at one time; where it is 1, a second one costs the first."""
    messages_per_s: float | None = None
    connects: int | None = None
    """Connection attempts in `connects_window_s`."""
    connects_window_s: float = 300
    connection_age_s: float | None = None
    """After so long the venue closes a connection."""
    silence_s: float = 60
    """After so long without anything, heartbeats included, a connection is dead."""
    requests_per_s: float
    """REST requests for pages of history that the venue's budget allows."""
    requests_per_symbol: bool = False
    """The venue counts the requests of each symbol on their own."""


class Secret(str):
    """Text that is whole to who takes it apart, such as a websocket client, and hidden to who shows it.

    `str`, `repr`, `format` and all that builds on them (f-strings, `%`, logs, errors) give a placeholder.
    """

    def __str__(self) -> str:
        return "(secret)"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)


class VenueAdapter(Protocol):
    """One venue."""

    @property
    def name(self) -> str:
        """Return the venue's name, as in `venue:symbol`."""
        ...

    @property
    def numbered(self) -> bool:
        """Say whether the venue numbers the trades of a symbol consecutively."""
        ...

    @property
    def acknowledges(self) -> bool:
        """Say whether the venue answers `subscribe_messages`, so that silence means that it hasn't heard."""
        ...

    @property
    def ws_url(self) -> str:
        """Return the venue's own websocket address, to be used as the base where no other is set."""
        ...

    @property
    def rest_url(self) -> str:
        """Return the venue's own REST address, to be used as the base where no other is set."""
        ...

    @property
    def limits(self) -> VenueLimits:
        """Return what the venue allows."""
        ...

    def normalize_symbol(self, symbol: str) -> str:
        """Return a symbol as the venue writes it, from how a person may have written it."""
        ...

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the websocket address of the symbols' trades, with subscriptions where it can have them.

        What is secret in it shows in no message; see `Secret`.
        """
        ...

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return what is to be sent once connected; nothing where the address says it all."""
        ...

    def parse_frame(self, frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is broken, or each of its rows is; the message says how.
        """
        ...


TRADING: Final = "trading"
"""The status of a symbol that trades; others are the venue's own words."""


class ListedSymbol(NamedTuple):
    """A symbol that a venue has."""

    name: str
    """As in `venue:symbol`."""
    status: str


@runtime_checkable
class ListingAdapter(Protocol):
    """A venue that lists its symbols."""

    @property
    def symbols_path(self) -> str:
        """Return path of a REST request for all symbols."""
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
        """Return headers that a request for history must carry."""
        ...

    @property
    def history_by_time(self) -> bool:
        """Say whether `history_path` goes by the gap's time alone, so that ids have to be found by time."""
        ...

    def history_path(self, gap: MissingRange) -> str:
        """Return path and query of a REST request for the first page of the gap's trades.

        A page begins with the last trade before the gap, or earlier, and ends within the gap or with the
        first trade after it; of a gap that is asked for alone, without them. So an id between two of a page
        that is not in it has been left out by the venue; outside of them, a page proves nothing.
        """
        ...

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history, in ascending order of id.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is none; the message says why.
            BusyError: the venue asks for patience, in a body that came with status 200.
        """
        ...


@runtime_checkable
class KlineAdapter(Protocol):
    """A venue that gives candles of its own, to compare with ours."""

    @property
    def klines_at_once(self) -> int:
        """Return how many candles one request can give."""
        ...

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return path and query of a REST request for candles of a minute, at most `klines_at_once`.

        Args:
            symbol: as the venue writes it.
            start_us: the first to open, inclusive.
            end_us: exclusive.
        """
        ...

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse an answer, in ascending order; others than those asked for may be in it.

        Raises:
            PoisonError: it is broken.
            BusyError: the venue asks for patience, in a body that came with status 200.
        """
        ...
