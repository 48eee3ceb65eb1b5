"""What feeds write to: the partition streams of a plant, or the statistics of a recording."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tickplant.kernel import TradeColumns
from tickplant.market import SymbolId, Trade
from tickplant.wire import ConnectionStatus


class FeedOutput(Protocol):
    """Receives what feeds have parsed; `Publisher` describes each method."""

    async def claim_source(self, headers: Mapping[str, str]) -> None: ...  # noqa: D102

    async def publish_columns(self, trades: Sequence[TradeColumns], *, numbered: bool = True) -> None: ...  # noqa: D102

    async def publish_clock(self, venue: str, symbols: Sequence[str], time_us: int) -> None: ...  # noqa: D102

    async def read_last_trades(self, symbols: Sequence[SymbolId]) -> list[Trade]: ...  # noqa: D102

    async def read_reserved_id(self, venue: str, symbols: Sequence[str]) -> int: ...  # noqa: D102

    async def reserve_ids(self, venue: str, last_id: int) -> None: ...  # noqa: D102

    async def wait_for_budget(self) -> None: ...  # noqa: D102

    async def write_dead_letter(self, source: str, payload: bytes, reason: str) -> None: ...  # noqa: D102

    async def report(self, connection: ConnectionStatus) -> None: ...  # noqa: D102

    async def remove_status(self, name: str) -> None: ...  # noqa: D102


class Limit(Protocol):
    """A limit of connection attempts or messages."""

    async def take(self) -> None:
        """Wait until one use is allowed."""


class Lock(Protocol):
    """A lock that is held while connected, where the venue allows one connection."""

    async def acquire(self) -> None:
        """Wait until the lock is acquired."""

    async def renew(self) -> bool:
        """Extend the lock; return whether it is still held."""

    async def release(self) -> None:
        """Release the lock if it is held."""
