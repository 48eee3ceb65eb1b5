"""Dead letters of a partition: inputs that its owner does not store, for inspection."""

from collections.abc import Sequence
from typing import Final

from db.leases import Lease
from tickplant import metrics, wire
from tickplant.dead_letters import dead_letter_command, write_dead_letter
from tickplant.kernel import encode_trades
from tickplant.market import Trade
from tickplant.redis_client import RedisClient
from tickplant.streams import trades_stream
from workers.rejections import Rejection
from workers.strategies.runner import StrategyFailure
from workers.trimming import Entry

_LETTER_TRADES: Final = 100
"""How many trades fit into a dead letter whole."""


class PartitionDeadLetters:
    """Writes the dead letters of one partition."""

    def __init__(self, redis: RedisClient, lease: Lease) -> None:
        """Take an open client, which the caller closes, and the lease."""
        self._redis = redis
        self._role = lease.role
        self._stream = trades_stream(lease.partition)

    async def write_entry(self, entry: Entry, reason: str) -> None:
        """Write an entry that is malformed or can't be stored."""
        entry_id, fields = entry
        payload = {b"payload." + name: value for name, value in fields.items()}
        await write_dead_letter(
            self._redis, source=f"{self._stream} {entry_id}", reason=reason, payload=payload
        )

    async def write_rejections(self, rejections: Sequence[Rejection]) -> None:
        """Write rejected trades."""
        if not rejections:
            return
        commands = [
            dead_letter_command(
                f"{self._stream} {rejection.entry_id}",
                rejection.reason,
                {b"payload." + wire.TRADES: rejection.payload},
            )
            for rejection in rejections
        ]
        await self._redis.exchange(*commands)

    async def write_unstorable(self, entry_id: str, trades: Sequence[Trade], reason: str) -> None:
        """Write trades of an entry that the database refuses."""
        metrics.WORKER_UNSTORABLE.labels(self._role).inc(len(trades))
        for start in range(0, len(trades), _LETTER_TRADES):
            payload = encode_trades(trades[start : start + _LETTER_TRADES])
            await self.write_entry((entry_id, {wire.TRADES: payload}), f"not storable: {reason}")

    async def write_failure(self, failure: StrategyFailure) -> None:
        """Write the traceback of a failed strategy."""
        source = f"strategy {failure.strategy} of {failure.venue}:{failure.symbol}"
        payload = {b"payload.traceback": failure.traceback.encode()}
        await write_dead_letter(self._redis, source=source, reason=failure.reason, payload=payload)
