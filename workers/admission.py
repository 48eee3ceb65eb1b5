"""Admission: which trades of a symbol are admitted, suspected or rejected. Pure.

A trade can be well formed and still wrong: its id far ahead of what the venue can have traded, or its time
in the future. If it were admitted, its symbol would stop: all later trades would seem late. So it is held
as a suspect until some more trades continue from it; then all of them are admitted. If other trades continue
without it, it is rejected. Suspects are saved with the trades, so that a crash changes nothing.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tickplant.kernel import TradeColumns
from tickplant.market import Candle, Trade
from tickplant.trade_rules import ZEROS
from workers.ledger import Ledger
from workers.plausibility import (
    MAX_ID,
    MAX_JUMP,
    REJECT_AHEAD_US,
    SUSPECT_AHEAD_US,
    IsStored,
    SymbolProgress,
    all_plausible,
    continues,
    duration_text,
    implausibility,
)
from workers.ranges import Range, Ranges
from workers.rejections import RejectedTrade, RejectionKind
from workers.suspects import SuspectChain, confirmations_for

_MAX_TRADES_WITHOUT: Final = 20
"""Trades admitted since a chain grew at which it is rejected."""
_MAX_CHAINS: Final = 4
"""Chains of suspects that a symbol has at one time; beyond, the oldest is rejected."""


class AdmissionState(Struct, frozen=True, array_like=True):
    """The saved state of an admission."""

    suspects: list[SuspectChain] = []
    rejected_ids: list[Range] = []
    offset: int = 0
    series_start: int = 0


class Admission:
    """Decides which trades of one symbol are admitted, held as suspects, or rejected."""

    __slots__ = (
        "_rejected",
        "_rejected_ids",
        "_series_gap",
        "_suspects",
        "_void",
        "changed",
        "offset",
        "series_start",
    )

    def __init__(self, state: AdmissionState | None = None) -> None:
        """Restore the saved state; None: start with an empty one."""
        state = state or AdmissionState()
        self._suspects = list(state.suspects)
        self._rejected_ids = Ranges(state.rejected_ids)
        self._void: list[int] = []
        self._series_gap: int | None = None
        self.offset = state.offset
        """What is added to the venue's ids, if it has restarted its trade ids; 0 if it never has."""
        self.series_start = state.series_start
        """The first id, with the offset, of the current series."""
        self._rejected: list[RejectedTrade] = []
        self.changed = False
        """Whether the state has changed since it was last saved."""

    @property
    def state(self) -> AdmissionState:
        """The state to save."""
        return AdmissionState(self._suspects, self._rejected_ids.members, self.offset, self.series_start)

    @property
    def clear(self) -> bool:
        """Whether there is nothing to assess trades by that continue from the last one."""
        return not (self._suspects or self._rejected or self._rejected_ids)

    def renumber(self, trades: TradeColumns) -> TradeColumns:
        """Return trades under ids of the current series; the same object where there is one series."""
        return trades.shift_ids(self.offset) if self.offset else trades

    @property
    def pending(self) -> bool:
        """Whether a trade has been rejected, or one of the `take_` methods may return something later."""
        return bool(self._rejected or self._rejected_ids)

    @property
    def suspected(self) -> Trade | None:
        """The first trade beyond an implausible jump in ids, so that the ids before it can be requested."""
        firsts = [chain.trades[0] for chain in self._suspects if chain.kind == "id"]
        return min(firsts, key=lambda trade: trade.trade_id, default=None)

    def assess(
        self,
        trades: Sequence[Trade],
        runs: Sequence[Candle],
        ledger: Ledger,
        *,
        watermark_us: int,
        last_us: int,
        now_us: int,
        is_stored: IsStored,
    ) -> Sequence[Trade]:
        """Return the trades to admit, in order of arrival; the same object where all are admitted.

        Args:
            trades: of one entry, each one valid by itself.
            runs: the same, folded by `fold_runs`.
            ledger: the ids admitted before; they are the venue's plus the offset.
            watermark_us: of the symbol; 0 where no trade has been admitted.
            last_us: the latest event time of all trades admitted.
            now_us: when the entry was written.
            is_stored: returns whether this very trade was stored recently.
        """
        if self.offset:
            trades = [_with_id(trade, trade.trade_id + self.offset) for trade in trades]
        limit_us = max(now_us, trades[-1].ingest_time_us, watermark_us) + SUSPECT_AHEAD_US
        if not self._suspects and all_plausible(trades, runs, ledger, last_us, limit_us):
            return trades
        progress = SymbolProgress(ledger, last_us, watermark_us, is_stored)
        shift, admitted = 0, list[Trade]()
        for trade in trades:
            shifted = _with_id(trade, trade.trade_id + shift) if shift else trade
            offset = self.offset
            found = self._assess(shifted, progress, now_us)
            while found:
                for confirmed in found:
                    progress.admit(confirmed)
                admitted += found
                found = self._release(progress)
            shift += self.offset - offset
        return admitted

    def take_rejected(self) -> list[RejectedTrade]:
        """Return the trades rejected since the last call."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def take_void(self) -> list[int]:
        """Return the ids without a trade at the venue that were found since the last call."""
        void, self._void = self._void, []
        return void

    def take_series_gap(self) -> int | None:
        """Return the id left free between two series, for trades not received, since the last call."""
        gap, self._series_gap = self._series_gap, None
        return gap

    def take_missing_rejected(self, ledger: Ledger) -> list[Range]:
        """Return the ids of rejected trades that the ledger has found missing since the last call."""
        if not self._rejected_ids:
            return []
        found = []
        for low, high in self._rejected_ids.members:
            for trade_id in range(low, min(high, ledger.last) + 1):
                self._rejected_ids.discard(trade_id, trade_id)
                self.changed = True
                if trade_id in ledger.missing:
                    found.append((trade_id, trade_id))
        return found

    def _assess(self, trade: Trade, progress: SymbolProgress, now_us: int) -> list[Trade]:
        now_us = max(now_us, trade.ingest_time_us)
        ahead_us = trade.event_time_us - max(now_us, progress.watermark_us)
        if ahead_us > REJECT_AHEAD_US:
            self._reject(trade, "time", f"its time is {duration_text(ahead_us)} in the future")
            self._note_rejected_id(trade, progress)
            return []
        if trade.trade_id > MAX_ID:
            self._reject(trade, "id", f"trade id out of range: {trade.trade_id}")
            return []
        fault = implausibility(trade, progress, ahead_us)
        if trade.price in ZEROS or trade.size in ZEROS:
            self._reject_zero(trade, progress, plausible=fault is None)
            return []
        if fault is None:
            if trade.trade_id > progress.last:
                self._count_against_suspects(trade, progress)
            return [trade]
        return self._suspect(trade, progress, *fault)

    def _suspect(
        self, trade: Trade, progress: SymbolProgress, kind: RejectionKind, reason: str
    ) -> list[Trade]:
        """Hold a trade as a suspect; return its chain once it is long enough."""
        self.changed = True
        for chain in self._suspects:
            last = chain.trades[-1]
            if chain.trades[0].trade_id <= trade.trade_id <= last.trade_id:
                return []  # a duplicate
            if chain.kind == kind and continues(last, trade, numbered=progress.ledger.numbered):
                chain.trades.append(trade)
                chain.trades_without = 0
                self._reject_reused_id(chain, trade)
                if len(chain.trades) < chain.confirmations:
                    return []
                self._suspects.remove(chain)
                return self._start_series(chain, progress) if kind == "contradiction" else chain.trades
        if len(self._suspects) == _MAX_CHAINS:
            self._drop(self._suspects[0], progress)
        chain = SuspectChain([trade], kind, reason, confirmations_for(trade, kind, progress, self.offset))
        self._suspects.append(chain)
        self._reject_reused_id(chain, trade)
        return []

    def _release(self, progress: SymbolProgress) -> list[Trade]:
        """Return the chain that the admitted trades, such as history's, have come close to."""
        for chain in self._suspects:
            first = chain.trades[0]
            if chain.kind == "id" and 0 < first.trade_id - progress.last <= MAX_JUMP:
                self._suspects.remove(chain)
                self.changed = True
                return chain.trades
        return []

    def _start_series(self, chain: SuspectChain, progress: SymbolProgress) -> list[Trade]:
        """Number a chain on from the last id, leaving one id free for trades between the two series."""
        if progress.last > MAX_ID:  # there are no ids left
            self._suspects.append(chain)
            self._drop(chain, progress)
            return []
        for other in list(self._suspects):
            self._drop(other, progress)
        shift = progress.last + 2 - chain.trades[0].trade_id
        self._series_gap = progress.last + 1
        self.offset += shift
        self.series_start = progress.last + 2
        return [_with_id(trade, trade.trade_id + shift) for trade in chain.trades]

    def _count_against_suspects(self, trade: Trade, progress: SymbolProgress) -> None:
        """Count an admitted trade that continues from none of the chains; drop those that it disproves."""
        for chain in list(self._suspects):
            first = chain.trades[0]
            if chain.kind == "id" and trade.event_time_us < first.event_time_us:
                continue  # it was traded before, and may lead up to the chain
            chain.trades_without += 1
            self.changed = True
            passed = chain.kind != "contradiction" and trade.trade_id >= first.trade_id
            if passed or chain.trades_without >= _MAX_TRADES_WITHOUT:
                self._drop(chain, progress)

    def _drop(self, chain: SuspectChain, progress: SymbolProgress) -> None:
        """Reject the trades of a chain."""
        self._suspects.remove(chain)
        for trade in chain.trades:
            if not chain.reuses_ids:
                self._reject(trade, chain.kind, chain.reason)
            if chain.kind == "time":
                self._note_rejected_id(trade, progress)

    def _reject_reused_id(self, chain: SuspectChain, trade: Trade) -> None:
        """Reject a suspect at once if its id is stored already; it remains a member of its chain."""
        if chain.reuses_ids:
            self._reject(trade, chain.kind, chain.reason)

    def _reject_zero(self, trade: Trade, progress: SymbolProgress, *, plausible: bool) -> None:
        """Reject a trade whose price or size is 0, and mark its id as void."""
        ledger = progress.ledger
        if trade.trade_id in ledger.void or trade.trade_id in self._void:
            return
        what = "price" if trade.price in ZEROS else "size"
        self._reject(trade, "zero", f"its {what} is 0: it counts as no trade")
        if plausible and ledger.numbered and not progress.empty:
            self._void.append(trade.trade_id)

    def _note_rejected_id(self, trade: Trade, progress: SymbolProgress) -> None:
        """Remember the id of a rejected trade, which roles need not wait for."""
        ahead = 0 < trade.trade_id - progress.last <= MAX_JUMP and not progress.empty
        if progress.ledger.numbered and (ahead or trade.trade_id in progress.ledger.missing):
            self._rejected_ids.add(trade.trade_id, trade.trade_id)
            self.changed = True

    def _reject(self, trade: Trade, kind: RejectionKind, reason: str) -> None:
        self._rejected.append(RejectedTrade(trade, kind, reason))


def _with_id(trade: Trade, trade_id: int) -> Trade:
    return replace(trade, trade_id=trade_id)
