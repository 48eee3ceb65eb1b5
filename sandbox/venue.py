"""The protocol of a sandbox venue: its frames, its websocket sessions and its REST interface.

A venue is one package with a class of this shape, and one entry in `venues.VENUES`. It is pure, without
sockets or clock: it answers from a `SandboxMarket` and a time that are handed in. Its module `frames` has
functions with the names of the class's methods (`recognises`, `parse_frame`, ...), which the class calls.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from sandbox.frames import View
from sandbox.history import SandboxHistory
from sandbox.limits import SandboxLimits
from tickplant.market import Side, SymbolId, Trade


class ParsedFrame(NamedTuple):
    """One recorded frame."""

    stream: str
    """The name of the stream it came on; the symbols with a space between them, where it has several; empty
    where it came on none, such as an answer."""
    text: bytes
    """As it lies on a tape."""
    event_time_us: int
    """The venue's time of sending; 0 where the frame has none."""
    trades: tuple[Trade, ...] = ()
    historical: bool = False
    """Its trades had happened before: they belong to the venue's history, but aren't sent."""


class SyntheticTrade(Struct, frozen=True, gc=False):
    """One generated trade, yet without a time."""

    market: int
    """Index of its market."""
    trade_id: int
    price: str
    size: str
    side: Side


class TypicalTrade(NamedTuple):
    """What a symbol's trades are usually like."""

    price: float
    price_decimals: int
    size_decimals: int


class ViewFit(Enum):
    """What becomes of a stream's frames for a view."""

    NONE = 0
    """They aren't sent."""
    AS_IT_LIES = 1
    """They are sent as they lie on the tape."""
    STYLED = 2
    """They are rewritten, or left out in part."""


class Answer(NamedTuple):
    """What goes back to a client over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


class BadAddressError(ValueError):
    """The path of a websocket leads nowhere; the message is the reason, `status` the HTTP code."""

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message)
        self.status = status


class SandboxMarket(Protocol):
    """The symbols of a venue, and their trades so far."""

    @property
    def symbols(self) -> Collection[SymbolId]:
        """The symbols that the venue has."""

    def history(self, symbol: SymbolId) -> SandboxHistory:
        """Return a symbol's trades sent so far."""


class SandboxSession(Protocol):
    """The subscriptions of one websocket connection."""

    @property
    def view(self) -> View:
        """What it is subscribed to now."""

    def greet(self) -> Sequence[str]:
        """Return the messages for a new connection."""

    def receive(self, message: str | bytes) -> Sequence[str]:
        """Handle a message and return the answers."""

    def refuse(self, message: str | bytes) -> Sequence[str] | None:
        """Return the refusal of a subscription; None where the message isn't one."""

    def beat(self, *, quiet: bool) -> Sequence[str]:
        """Return the messages that are sent once a second.

        Args:
            quiet: whether nothing was sent since the last time.
        """


class SandboxRest(Protocol):
    """A venue's REST interface."""

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> Answer | None:
        """Answer a GET; None if there is no such endpoint.

        Args:
            path: with its query.
            headers: of the request.
            now_us: the venue's time.
        """


class SandboxVenue(Protocol):
    """One venue's protocol."""

    @property
    def name(self) -> str:
        """Its name, as in `venue:symbol`."""

    @property
    def numbered(self) -> bool:
        """Whether its trades have ids."""

    @property
    def acknowledges(self) -> bool:
        """Whether it answers subscriptions."""

    @property
    def limits(self) -> SandboxLimits:
        """What it allows a client."""

    @property
    def example(self) -> str:
        """A symbol as it writes them."""

    @property
    def places(self) -> int:
        """How many decimal places its prices and sizes have at least."""

    def is_symbol(self, name: str) -> bool:
        """Return whether a name has the form of its symbols."""

    def usual(self, symbol: str) -> TypicalTrade | None:
        """Return the typical trade of a symbol; None if it is unknown."""

    def recognises(self, message: dict[str, Any]) -> bool:
        """Return whether a decoded frame is this venue's."""

    def parse_frame(self, frame: bytes, receive_time_us: int) -> ParsedFrame | None:
        """Parse one recorded frame; None for one that belonged to the recording client's connection alone.

        Args:
            frame: the text.
            receive_time_us: when it was received; 0 where the capture has none: then the venue's time of
        sending stands in for a trade's `ingest_time_us`.

        Raises:
            PoisonError: it is not JSON, or a trade that lacks something.
        """

    def read_trades(self, text: bytes) -> Sequence[Trade]:
        """Read the trades in a text that lies on a tape; `trade_id` is 0 where the venue has none."""

    def encode_order(self, symbol: str, order: Sequence[SyntheticTrade], time_us: int) -> list[bytes]:
        """Return the texts, as they lie on a tape, of the trades that one order made."""

    def stream_of(self, symbol: str) -> str:
        """Return the name of the stream of a symbol's trades."""

    def fit(self, stream: str, view: View) -> ViewFit:
        """Return what becomes of a stream's frames for a view."""

    def style(self, text: bytes, stream: str, view: View) -> bytes:
        """Return a text as a view wants it that `Fit.STYLED` goes for."""

    def open_session(self, path: str, market: SandboxMarket, now_us: Callable[[], int]) -> SandboxSession:
        """Return the session that a websocket's address asks for.

        Args:
            path: with its query.
            market: its symbols and trades.
            now_us: the venue's time, as this connection sees it.

        Raises:
            BadAddressError: the address leads nowhere.
        """

    def open_rest(
        self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]
    ) -> SandboxRest:
        """Return the REST interface.

        Args:
            market: its symbols and trades.
            limits: the budget of requests.
            clock_us: this machine's time, by which requests are counted.
        """

    def is_history(self, path: str) -> bool:
        """Return whether a path is one of history: trades, or candles made of them."""

    def refusal(self, status: int, message: str) -> Answer:
        """Return a refusal over HTTP in the venue's form."""

    def shutdown_notice(self, view: View, now_us: int) -> str | None:
        """Return what announces the connection's end; None where the venue doesn't announce it."""


def streams_of(venue: SandboxVenue, symbols: Iterable[SymbolId]) -> frozenset[str]:
    """Return the names of the streams of symbols' trades."""
    return frozenset(venue.stream_of(symbol.symbol) for symbol in symbols)
