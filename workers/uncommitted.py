"""What a partition has absorbed since its last commit, and the batch that commits it. Pure."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from db.commit import CommitBatch
from db.suspects import NewSeries, SuspectRows
from tickplant.copy_rows import join_rows
from tickplant.kernel import ROW_FORMAT
from tickplant.market import Trade
from tickplant.wire import Verdict
from workers.roles.partition import PartitionRoles
from workers.symbol_state import SymbolState


class Uncommitted:
    """The rows and changes of a partition that are not in a commit batch yet.

    Attributes:
        entry_id: the last entry absorbed; None if none has been.
        touched: the symbols with something to commit.
        needs_close: whether a candle of one of them may have closed.
        past_only: whether all trades were past ones, from files or a backfill.
        trade_rows: by symbol, rows of new trades in `ROW_FORMAT`.
        verdicts: in order.
        series: restarts of trade ids.
        trade_count: of new trades.
        duplicates: how many trades were repeated.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self.entry_id: str | None = None
        self.touched: dict[SymbolState, None] = {}
        self.needs_close = False
        self.past_only = True
        self.trade_rows: defaultdict[SymbolState, list[bytes]] = defaultdict(list)
        self.verdicts: list[Verdict] = []
        self.series: list[NewSeries] = []
        self.trade_count = 0
        self.duplicates = 0

    def touch(self, state: SymbolState) -> None:
        """Note that a symbol has something to commit, after each change of it."""
        self.touched[state] = None
        self.needs_close |= state.needs_close

    def take_batch(self, roles: PartitionRoles, unknown: Sequence[Trade]) -> CommitBatch:
        """Return everything as a batch, and start the next one; an entry must have been absorbed.

        Args:
            roles: have received the trades.
            unknown: repeated trades to be compared with the stored ones.
        """
        assert self.entry_id is not None
        touched, self.touched, self.needs_close = self.touched, {}, False
        self.past_only = True
        traded = [state.last for state in touched if state in self.trade_rows and state.last is not None]
        derived = roles.take(traded)
        # Symbol by symbol, so that neighbours in the batch are neighbours in the index.
        rows = [row for state in touched for row in self.trade_rows.pop(state, ())]
        changed_admissions = {state for state in touched if state.admission.changed}
        suspects = self._take_suspects(changed_admissions)
        verdicts, self.verdicts = self.verdicts, []
        to_close = [(state.venue, state.symbol) for state in touched if state.needs_close]
        gaps = [
            (state.venue, state.symbol, state.last_us if state.gaps_after_us is None else state.gaps_after_us)
            for state in touched
            if state.gaps_after_us is not None
            or state in changed_admissions  # suspects are reported with the gaps
        ]
        batch = CommitBatch(
            self.entry_id,
            join_rows(rows, ROW_FORMAT),
            ROW_FORMAT,
            [state.ledger_row for state in touched if not state.empty],
            [part for state in touched for part in state.take_parts()],
            to_close,
            gaps,
            verdicts,
            self.trade_count,
            self.duplicates,
            unknown,
            [*derived.rows, *suspects],
            derived.to_publish,
            derived.outliers,
        )
        self.entry_id = None
        self.trade_count = self.duplicates = 0
        return batch

    def _take_suspects(self, changed: Collection[SymbolState]) -> list[SuspectRows]:
        series, self.series = self.series, []
        if not changed and not series:
            return []
        admissions = {}
        for state in changed:
            state.admission.changed = False
            admissions[state.key] = msgspec.msgpack.encode(state.admission.state)
        return [SuspectRows(self._partition, admissions, series)]
