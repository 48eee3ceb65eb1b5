"""Definitions of kinds of websocket channels; `api.live.channels` has an entry for each kind."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from operator import eq
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from api.live.channel_states import ChannelState
from api.live.cursor import Order
from api.live.protocol import Channel
from api.live.stream_reader import LiveStreamReader
from api.queries.connections import Connections
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from tickplant.market import SymbolId
from tickplant.wire import LiveUpdate

T = TypeVar("T")


class ChannelSources(NamedTuple):
    """The sources of the channels' states."""

    streams: LiveStreamReader
    history: StoredHistory
    prices: Prices
    connections: Connections

    async def published(self, symbol: SymbolId) -> tuple[Order | None, Order]:
        """Return up to which committed entry a symbol's results are published, and the last update."""
        return await self.streams.published(self.history.partition_of(symbol))


class LoadedState(NamedTuple):
    """A state, and the place after which changes apply to it: a live update, or a committed input entry."""

    state: ChannelState
    update: Order | None = None
    committed: Order | None = None


class StreamedChannel(Struct, Generic[T], frozen=True, kw_only=True):
    """A kind of channel of one symbol whose changes are in the live stream."""

    kind: str
    """The first part of the channel's name."""
    message: str
    """The type of its messages."""
    data: Any
    """The Python type of their data."""
    state: Any
    """The Python type of a snapshot's data."""
    changes: Callable[[LiveUpdate], Iterable[T]]
    """Returns an update's changes of all symbols."""
    address: Callable[[T], Iterable[str]]
    """Returns venue, symbol and, if `has_interval`, interval of a change; less if they are malformed."""
    valid: Callable[[T], bool]
    """Returns whether a change can be sent: Redis may hold anything."""
    view: Callable[[T], object]
    """Returns the data of a message."""
    conflation_key: Callable[[T], str] | None
    """Returns the key of a change; a later change with the same key supersedes it. None: nothing does."""
    load: Callable[[ChannelSources, Channel], Awaitable[LoadedState]]
    """Reads the state."""
    all_symbols: bool = False
    """Whether the kind alone names the channels of all symbols."""
    has_interval: bool = False
    stays_loaded: bool = True
    """Whether the state is updated while nobody is subscribed, rather than loaded again."""
    encoded: bool = False
    """Whether changes have to be decoded, which is done only while somebody is subscribed."""

    @property
    def of_symbol(self) -> bool:
        """Whether there is a channel for each symbol: always."""
        return True


def _whole(_: object, now: object) -> list[tuple[str, object]]:
    """Return one message with all that is read."""
    return [("", now)]


class PolledChannel(Struct, frozen=True, kw_only=True):
    """A kind of channel that is read every second; each message holds everything, without a cursor."""

    kind: str
    """The first part of the channel's name."""
    message: str
    """The type of its messages."""
    data: Any
    """The Python type of their data."""
    state: Any
    """The Python type of a snapshot's data."""
    read: Callable[[ChannelSources, Collection[Channel]], Awaitable[Mapping[Channel, object]]]
    """Reads the data of channels; those that have none yet are left out."""
    unchanged: Callable[[Any, Any], bool] = eq
    """Whether data need not be sent again, given what was sent last."""
    changes: Callable[[Any, Any], Iterable[tuple[str, object]]] = _whole
    """Returns messages, each with its conflation key, for a change of what was sent to what is read."""
    of_symbol: bool = True
    """Whether there is a channel for each symbol; if not there is one, named by its kind."""
    all_symbols: bool = False
    """Whether the kind alone names the channels of all symbols."""
    has_interval: bool = False
    reports_losses: bool = False
    """Whether a client that was cut off may have missed something that no later message repeats."""
