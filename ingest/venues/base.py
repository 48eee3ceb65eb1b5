"""The protocol of venue adapters: pure functions between a venue's messages and trades.

An adapter opens no socket, reads no clock and keeps no state between calls. The protocols of a venue's REST
interface are in `base_rest.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from tickplant.columns import TradeColumns
from tickplant.market import Trade


class Heartbeat(Struct, frozen=True):
    """The connection is alive; may include the newest trade id and the venue's time."""

    symbol: str | None = None
    last_trade_id: int | None = None
    """The symbol's newest trade; it was lost if it has not been received."""
    time_us: int | None = None
    """The venue's time."""


class Subscribed(Struct, frozen=True):
    """The venue has accepted subscriptions."""

    symbols: tuple[str, ...]


class Refused(Struct, frozen=True):
    """The venue has refused something: an unknown symbol, a wrong key, a limit."""

    reason: str
    symbols: tuple[str, ...] = ()
    """The affected symbols; empty if the venue names none."""


class Closing(Struct, frozen=True):
    """The venue is about to close the connection."""

    reason: str


class BadRow(NamedTuple):
    """A row of a message that is not a valid trade."""

    payload: bytes
    """The row's text."""
    reason: str
    trade_id: int | None = None
    """The trade id of a row of history; None if it can't be read."""


class ParsedRows(Struct, frozen=True):
    """The rows of a message or page: valid trades, and bad rows."""

    trades: tuple[Trade, ...]
    bad_rows: tuple[BadRow, ...]


Notice = Heartbeat | Subscribed | Refused | Closing
Parsed = tuple[Trade, ...] | ParsedRows | Notice
"""Trades in the venue's order; a notice; or an empty tuple for a frame to ignore."""


class ParsedFrames(NamedTuple):
    """The trades of the first of some frames."""

    trades: list[TradeColumns]
    """One of each symbol, in order of first appearance; each has its trades in order of arrival."""
    consumed: int
    """How many frames they are from; the next one is for `parse_frame`."""


class VenueLimits(Struct, frozen=True, kw_only=True):
    """A venue's limits for one IP address; None for no limit."""

    symbols_per_connection: int
    connections: int | None = None
    """Concurrent connections; if 1, a second connection makes the venue close the first."""
    messages_per_s: float | None = None
    connects: int | None = None
    """Connection attempts in `connects_window_s`."""
    connects_window_s: float = 300
    connection_age_s: float | None = None
    """The age at which the venue closes a connection."""
    silence_s: float = 60
    """A connection counts as dead after this time without any message, heartbeats included."""
    requests_per_s: float
    """REST requests that the venue allows, for the costliest one: a page of history."""
    requests_per_symbol: bool = False
    """Whether the venue counts the requests of each symbol separately."""


class Secret(str):
    """A string that is never displayed.

    `str`, `repr`, `format` and everything that uses them (f-strings, `%`, logs, errors) return a placeholder;
    its characters remain accessible, to a websocket client for example.
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
        """Return the default base of the venue's websocket address."""
        ...

    @property
    def rest_url(self) -> str:
        """Return the default base of the venue's REST address."""
        ...

    @property
    def limits(self) -> VenueLimits:
        """Return the venue's limits."""
        ...

    def normalize_symbol(self, symbol: str) -> str:
        """Return a symbol in the venue's notation."""
        ...

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the websocket address of the symbols' trades, with subscriptions if the venue allows that.

        It is a `Secret` if it contains a key.
        """
        ...

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return the messages to send after connecting; none if the address subscribes."""
        ...

    def parse_frame(self, frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is malformed, or all of its rows are.
        """
        ...

    def parse_frames(self, frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
        """Parse websocket messages of trades; `columns.PIECE` is a good number of them.

        It stops before the first frame that is anything else or unusual in any way: `parse_frame` tells what
        that is, and also parses it if it is a trade after all. The trades are those that `parse_frame`
        returns frame by frame, and valid. Never raises for what a frame contains.
        """
        ...
