"""What feeds of a recording write to: statistics instead of streams."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from ingest.output import FeedOutput
from tickplant.kernel import TradeColumns
from tickplant.market import SymbolId, Trade
from tickplant.provenance import source_of
from tickplant.wire import ConnectionStatus

_log = logging.getLogger(__name__)


class ReceivedCounts(FeedOutput):
    """Counts what is received."""

    def __init__(self) -> None:
        self.trades: Counter[SymbolId] = Counter()
        """Trades received, duplicates included."""
        self.malformed = 0
        """Frames that are no messages of the venue."""
        self.disconnects = 0
        """Connections that have ended unexpectedly, or could not be made."""
        self._states: dict[str, str] = {}
        self._source = "live"

    async def claim_source(self, headers: Mapping[str, str]) -> None:
        """Log once that trades are not those of a real venue."""
        source = source_of(headers)
        if source != self._source:
            _log.warning(
                "the venue is a sandbox; its trades are %s", {"replay": "replayed"}.get(source, source)
            )
        self._source = source

    async def publish_columns(self, trades: Sequence[TradeColumns], *, numbered: bool = True) -> None:
        """Count trades."""
        for part in trades:
            self.trades[SymbolId(part.venue, part.symbol)] += len(part)

    async def publish_clock(self, venue: str, symbols: Sequence[str], time_us: int) -> None:
        """Do nothing: the frames have the venue's time."""

    async def read_last_trades(self, symbols: Sequence[SymbolId]) -> list[Trade]:
        """Return none: nothing is fetched."""
        return []

    async def read_reserved_id(self, venue: str, symbols: Sequence[str]) -> int:
        """Return 0: ids are assigned when the capture is played."""
        return 0

    async def reserve_ids(self, venue: str, last_id: int) -> None:
        """Do nothing."""

    async def wait_for_budget(self) -> None:
        """Return at once."""

    async def write_dead_letter(self, source: str, payload: bytes, reason: str) -> None:
        """Log and count a frame; it is in the capture."""
        self.malformed += 1
        _log.log(
            logging.WARNING if self.malformed == 1 else logging.DEBUG,
            "%s: malformed frame: %s",
            source,
            reason,
        )

    async def report(self, connection: ConnectionStatus) -> None:
        """Note the state of a connection."""
        before = self._states.get(connection.name)
        self._states[connection.name] = connection.state
        self.disconnects += connection.state == "down" and before != "down"

    async def remove_status(self, name: str) -> None:
        """Forget a connection that ended on purpose."""
        self._states.pop(name, None)


class LocalLimit:
    """A limit of this process alone: some uses at once, then one in each interval."""

    def __init__(self, per_s: float, burst: int = 1) -> None:
        self._interval_s = 1 / per_s
        self._burst = burst
        self._due_s = 0.0

    async def take(self) -> None:
        """Wait until one use is allowed."""
        now_s = asyncio.get_running_loop().time()
        wait_s = max(self._due_s, now_s) - now_s - self._interval_s * (self._burst - 1)
        self._due_s = max(self._due_s, now_s) + self._interval_s
        await asyncio.sleep(max(0.0, wait_s))


class NoLock:
    """The only connection of a venue, whose other clients this process can't know."""

    async def acquire(self) -> None:
        """Return at once."""

    async def renew(self) -> bool:
        """Return that it is held."""
        return True

    async def release(self) -> None:
        """Do nothing."""
