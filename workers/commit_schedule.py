"""When a partition commits and publishes candles, and how long it may wait for entries. Pure."""

from typing import Final, NamedTuple

from workers.partition_state import PartitionState


class CommitPolicy(NamedTuple):
    """When a batch is committed: as soon as any of these holds."""

    interval_s: float
    """Time since the first trade of the batch."""
    trades: int
    """Trades in the batch."""
    idle_s: float = 5.0
    """Time since the last commit, where there are only clock entries to commit."""


_IDLE_READ_S: Final = 0.25
"""The longest wait of a read; a stop can take as long."""
_COMMITTING_READ_MS: Final = 10
"""The wait of a read while a commit is under way and the next one is pending."""
_CANDLES_INTERVAL_S: Final = 0.05
"""Open 1m candles are published at most this often; trades and prices at once."""
_LONGER_CANDLES_INTERVAL_S: Final = 0.25
"""Open candles longer than a minute are published at most this often."""


_PAST_FACTOR: Final = 3
"""How much larger, and later, batches of past trades alone are: each commit corrects averages around them."""


class CommitSchedule:
    """The times of one partition's last commit and publication, and what is due since then."""

    def __init__(self, policy: CommitPolicy, now_s: float) -> None:
        """Start at a time, as if there had just been a commit."""
        self._policy = policy
        self._first_pending_s = 0.0
        self._candles_s = self._longer_candles_s = 0.0
        self._commit_s = now_s

    def note_first_pending(self, now_s: float) -> None:
        """Note that the first entry of a batch is being absorbed."""
        self._first_pending_s = now_s

    def note_candles(self, now_s: float, *, longer: bool) -> None:
        """Note that open candles are being published; `longer`: all of them, not only those of a minute."""
        self._candles_s = now_s
        if longer:
            self._longer_candles_s = now_s

    def note_commit(self, now_s: float) -> None:
        """Note that a batch has been committed."""
        self._commit_s = now_s

    def candles_due(self, now_s: float) -> bool:
        """Return whether open 1m candles may be published again."""
        return now_s - self._candles_s >= _CANDLES_INTERVAL_S

    def longer_candles_due(self, now_s: float) -> bool:
        """Return whether open candles longer than a minute may be published again."""
        return now_s - self._longer_candles_s >= _LONGER_CANDLES_INTERVAL_S

    def commit_due(self, state: PartitionState, now_s: float, *, committing: bool) -> bool:
        """Return whether to commit what has been absorbed.

        Args:
            state: of the partition.
            now_s: the present.
            committing: whether a commit is under way.
        """
        factor = _PAST_FACTOR if state.past_only else 1
        trades = factor * self._policy.trades
        if committing:
            # One commit at a time; while it is under way the next batch grows, to twice its size at most.
            return state.pending_trades >= max(trades, 2 * self._policy.trades)
        if state.urgent or state.pending_trades >= trades:
            return True
        if state.pending_trades or state.duplicates:
            return now_s - self._first_pending_s >= factor * self._policy.interval_s
        return now_s - self._commit_s >= self._policy.idle_s

    def block_ms(self, state: PartitionState, now_s: float, *, committing: bool) -> int:
        """Return how long a read may wait: until the next commit or the next candles are due."""
        if committing and (state.pending_trades or state.urgent):
            return _COMMITTING_READ_MS
        due_s = now_s + _IDLE_READ_S
        if state.candles_changed:
            due_s = min(due_s, self._candles_s + _CANDLES_INTERVAL_S)
        if state.longer_candles_changed:
            due_s = min(due_s, self._longer_candles_s + _LONGER_CANDLES_INTERVAL_S)
        if state.pending_trades or state.duplicates:
            due_s = min(due_s, self._first_pending_s + self._policy.interval_s)
        return max(1, int((due_s - now_s) * 1000))
