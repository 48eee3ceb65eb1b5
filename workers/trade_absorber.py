"""The way of one symbol's trades through admission, ledger, candles and roles to the next commit. Pure."""

from db.suspects import NewSeries
from tickplant import wire
from tickplant.kernel import TradeColumns, from_trades, rows_to_copy
from workers.plausibility import SUSPECT_AHEAD_US
from workers.rejections import Rejections
from workers.roles.partition import PartitionRoles
from workers.symbol_state import SymbolState
from workers.trade_entries import SymbolRun, TradeEntry
from workers.uncommitted import Uncommitted
from workers.unpublished import Unpublished


class TradeAbsorber:
    """Applies valid trades to the states of their symbols."""

    def __init__(
        self,
        roles: PartitionRoles,
        uncommitted: Uncommitted,
        unpublished: Unpublished,
        rejections: Rejections,
    ) -> None:
        """Take the partition's roles, and where what comes of trades is kept."""
        self._roles = roles
        self._uncommitted = uncommitted
        self._unpublished = unpublished
        self._rejections = rejections
        self.entry_ms = 0
        """The time of the entry that is being absorbed, or was absorbed last."""

    def absorb_run(self, state: SymbolState, run: SymbolRun) -> bool:
        """Apply the trades of several entries at once, if they are the next ones of their symbol.

        Returns:
            Whether they were applied; if not, nothing has changed, and each entry has to be applied alone.
        """
        admission = state.admission
        if not admission.clear:
            return False
        trades = admission.renumber(run.trades)
        # The earliest limit of all entries: what is within it is plausible in each of them.
        limit_us = max(run.parts[0][0].time_ms * 1000, state.watermark_us) + SUSPECT_AHEAD_US
        expected = self._roles.touch(state.key).expects(trades, state.ledger)
        if not expected or not state.append(trades, limit_us):
            return False
        self._store(state, trades)
        for entry, part in run.parts:
            entry.new.append(admission.renumber(part))
        return True

    def absorb_part(self, state: SymbolState, entry: TradeEntry, trades: TradeColumns) -> None:
        """Pass valid trades of one symbol and entry through admission, ledger, candles and roles."""
        self.entry_ms, self._rejections.entry_id = entry.time_ms, entry.entry_id
        limit_us = (
            max(entry.time_ms * 1000, trades.ingest_times_us[-1], state.watermark_us) + SUSPECT_AHEAD_US
        )
        renumbered = state.admission.renumber(trades)
        if state.admission.clear and (state.append(renumbered, limit_us) or state.fill(renumbered, limit_us)):
            self._store(state, renumbered)
            entry.new.append(renumbered)
        else:
            new = self._assess(state, trades)
            if new is not None:
                entry.new.append(new)

    def _assess(self, state: SymbolState, trades: TradeColumns) -> TradeColumns | None:
        """Assess trades one by one, and store the new ones.

        Returns:
            The new ones; None if there are none.
        """
        admission, group = state.admission, trades.trades()
        admitted = admission.assess(
            group,
            trades.fold(),
            state.ledger,
            watermark_us=state.watermark_us,
            last_us=state.last_us,
            now_us=self.entry_ms * 1000,
            is_stored=lambda trade: self._rejections.is_stored(state.key, trade),
        )
        new, repeated = state.register(admitted) if admitted else ((), ())
        stored = None
        if new:
            stored = trades if new is group else from_trades(new)
            self._store(state, stored)
        if repeated:
            self._uncommitted.duplicates += len(repeated)
            self._rejections.compare(state.key, repeated)
        if admitted is not group or admission.pending:
            self._apply_admission(state)
        return stored

    def _store(self, state: SymbolState, trades: TradeColumns) -> None:
        """Fold new trades into candles, pass them to the roles, and keep their rows for the next commit."""
        runs = trades.fold()
        state.fold(trades, runs)
        self._roles.touch(state.key).feed(trades, runs, state.ledger, self.entry_ms)
        self._rejections.note_stored(trades)
        uncommitted, unpublished = self._uncommitted, self._unpublished
        uncommitted.trade_count += len(trades)
        uncommitted.trade_rows[state].append(rows_to_copy(trades))
        uncommitted.touch(state)
        unpublished.candles[state] = unpublished.longer_candles[state] = unpublished.priced[state] = None

    def _apply_admission(self, state: SymbolState) -> None:
        """Apply what the admission of a symbol has found besides the trades to admit."""
        admission = state.admission
        for rejected in admission.take_rejected():
            self._rejections.add(rejected)
        for trade_id in admission.take_void():
            state.mark_one_void(trade_id)
            self._add_verdict(state, trade_id, "void", None)
        if (gap := admission.take_series_gap()) is not None:
            self._uncommitted.series.append(NewSeries(*state.key, gap + 1, admission.offset, state.last_us))
            self._add_verdict(
                state,
                gap,
                "unrecoverable",
                f"the venue has restarted its trade ids at {gap + 1 - admission.offset}",
            )
        for low, high in admission.take_missing_rejected(state.ledger):
            for trade_id in range(low, high + 1):
                self._add_verdict(
                    state, trade_id, "unrecoverable", "its trade was rejected: its time is in the future"
                )
        if admission.changed and not state.empty:
            self._uncommitted.touch(state)

    def _add_verdict(
        self, state: SymbolState, trade_id: int, kind: wire.VerdictKind, reason: str | None
    ) -> None:
        """Apply a verdict that this worker gives on an id."""
        verdict = wire.Verdict(*state.key, trade_id, trade_id, kind, reason)
        self._roles.touch(state.key).apply_verdict(verdict, state.ledger, self.entry_ms)
        self.note_verdict(state, verdict)

    def note_verdict(self, state: SymbolState, verdict: wire.Verdict) -> None:
        """Keep a verdict for the next commit."""
        self._uncommitted.verdicts.append(verdict)
        self._uncommitted.touch(state)
