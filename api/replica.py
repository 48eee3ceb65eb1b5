"""The replica that history is read from: whether it answers, and how far it is behind."""

import asyncio
from typing import Final

from api.queries.history import TIMEOUT_S
from db.pool import OUTAGE, Pool
from db.replication import ReplicaState, read_replica_state
from tickplant import metrics

_POLL_S: Final = 5.0


class Replica:
    """Measures the lag of the server that history is read from, if it is another one than the primary."""

    def __init__(self, pool: Pool, reads: Pool) -> None:
        """Take connections to the primary, and those for reads, which may be the same."""
        self._pool = pool
        self._reads = reads
        self.separate = reads is not pool

    async def measure(self) -> ReplicaState:
        """Return its state, and note it in the metrics.

        Raises:
            PostgresError: or another of `OUTAGE`.
        """
        try:
            state = await read_replica_state(self._pool, self._reads)
        except BaseException:
            _note(None)
            raise
        _note(state)
        return state

    async def run(self) -> None:
        """Measure until cancelled; outages show as unknown."""
        while self.separate:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self.measure()
            except OUTAGE:
                pass  # /health tells
            await asyncio.sleep(_POLL_S)
        await asyncio.Event().wait()


def _note(state: ReplicaState | None) -> None:
    lag_s = state.lag_s if state else None
    lag_bytes = state.lag_bytes if state else None
    metrics.API_REPLICA_LAG_S.set(float("nan") if lag_s is None else lag_s)
    metrics.API_REPLICA_LAG_BYTES.set(float("nan") if lag_bytes is None else lag_bytes)
