"""Admission: which trades of a symbol are plausible, given those before and after them. Pure.

A trade can be well formed and still wrong: its id far ahead of what the venue can have traded, or its time
in the future. Taken for true, one silences its symbol: all that follow seem late. So it is held back,
as a suspect, until some more trades continue from it; then all of them are taken. Where the others go on
without it, it is rejected. Suspects are saved with the trades, so that a crash changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tickplant.intervals import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tickplant.market import MAX_DECIMAL_CHARS, Candle, Trade
from tickplant.trade_rules import MAX_TRADE_ID
from workers.ledger import Ledger
from workers.ranges import Range, Ranges
from workers.rejections import RejectedTrade, Why

CONFIRMING: Final = 5
"""Trades that must continue from one another before they are admitted."""
_CONFIRMING_JUMP: Final = 2
"""So many where their ids jump by no more than the venue can have traded in the time."""
_CONFIRMING_AGAIN: Final = 100
"""The same, where their ids are taken already and are not those of a venue that restarts its numbering."""
_CONTRADICTING: Final = 20
"""Trades that must go on without a suspect before it is rejected."""
_MOST_LAST: Final = MAX_TRADE_ID - 2**48
"""The greatest id after which a new series can begin."""
_MOST_SUSPECTS: Final = 4
"""Series of suspects that a symbol has at one time; beyond, the oldest is rejected."""

_JUMP_IDS: Final = 1_000
"""Ids that may be missing before a trade that is admitted at once."""
_JUMP_IDS_PER_S: Final = 100
"""Ids more than that for each second which a venue can have traded."""

AHEAD_US: Final = MINUTE_US
"""How far event times may be ahead of our clocks and still be admitted at once."""
_MOST_AHEAD_US: Final = 12 * HOUR_US
"""How far they may be ahead of our clocks at all, which may themselves be wrong."""

IsStored = Callable[[Trade], bool]

ZEROS: Final = frozenset(
    "0" * whole + "." * point + "0" * fraction
    for whole in range(MAX_DECIMAL_CHARS + 1)
    for point in (0, 1)
    for fraction in range(MAX_DECIMAL_CHARS + 1 - whole - point if point else 1)
    if whole + fraction
)
"""All ways to write zero."""


class Suspect(Struct, array_like=True):
    """Trades that are not admitted yet, each continuing from the one before."""

    trades: list[Trade]
    why: Why
    reason: str
    """Of the first one."""
    confirming: int = CONFIRMING
    """How many of them it takes to admit all."""
    against: int = 0
    """Trades admitted since the last of these arrived."""


class AdmissionState(Struct, frozen=True, array_like=True):
    """What is saved of an admission."""

    suspects: list[Suspect] = []
    lost: list[Range] = []
    offset: int = 0
    begun: int = 0


class Admission:
    """Decides which trades of one symbol are taken, held back as suspects, or rejected."""

    __slots__ = ("_lost", "_rejected", "_series_gap", "_suspects", "_void", "begun", "changed", "offset")

    def __init__(self, state: AdmissionState | None = None) -> None:
        """Begin with what has been saved."""
        state = state or AdmissionState()
        self._suspects = list(state.suspects)
        self._lost = Ranges(state.lost)
        self._void: list[int] = []
        self._series_gap: int | None = None
        self.offset = state.offset
        """What is added to the venue's ids, if it has restarted its trade ids; 0 if it never has."""
        self.begun = state.begun
        """The first id, with the offset, of the present series."""
        self._rejected: list[RejectedTrade] = []
        self.changed = False
        """Whether there is something to save since that was last done."""

    @property
    def state(self) -> AdmissionState:
        """What to save."""
        return AdmissionState(self._suspects, self._lost.members, self.offset, self.begun)

    @property
    def pending(self) -> bool:
        """Whether something has been rejected, or an id is known whose trade will be missing."""
        return bool(self._rejected or self._lost)

    @property
    def suspected(self) -> Trade | None:
        """The first trade beyond an implausible jump in ids, so that what lies before it can be asked for."""
        ids = [suspect.trades[0] for suspect in self._suspects if suspect.why == "id"]
        return min(ids, key=lambda trade: trade.trade_id, default=None)

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
        """Return the trades to take, in order of arrival; the same object where all are admitted.

        Args:
            trades: of one entry, each one valid by itself.
            runs: the same, folded by `fold_runs`.
            ledger: the ids taken before; their ids are the venue's plus the offset.
            watermark_us: the venue's time that the symbol has come to; 0 where no trade has come.
            last_us: the latest event time of all trades taken.
            now_us: when the entry was written.
            is_stored: whether just this trade has been taken lately.
        """
        if self.offset:
            trades = [_with_id(trade, trade.trade_id + self.offset) for trade in trades]
        soon_us = max(now_us, trades[-1].ingest_time_us, watermark_us) + AHEAD_US
        if not self._suspects and self._all_plausible(trades, runs, ledger, last_us, soon_us):
            return trades
        progress = _Progress(ledger, last_us, watermark_us, is_stored)
        shift, taken = 0, list[Trade]()
        for trade in trades:
            shifted = _with_id(trade, trade.trade_id + shift) if shift else trade
            offset = self.offset
            believed = self._assess(shifted, progress, now_us)
            while believed:
                for one in believed:
                    progress.take(one)
                taken += believed
                believed = self._release(progress)
            shift += self.offset - offset
        return taken

    def take_rejected(self) -> list[RejectedTrade]:
        """Return the trades rejected since the last call."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def take_void(self) -> list[int]:
        """Return ids that the venue has no trade of, found since the last call."""
        void, self._void = self._void, []
        return void

    def take_series_gap(self) -> int | None:
        """Return the id that stands for whatever was not received between two series, since the last call."""
        gap, self._series_gap = self._series_gap, None
        return gap

    def take_lost(self, ledger: Ledger) -> list[Range]:
        """Return the ids of rejected trades that the ledger has come to miss since the last call."""
        if not self._lost:
            return []
        found = []
        for low, high in self._lost.members:
            for trade_id in range(low, min(high, ledger.last) + 1):
                self._lost.discard(trade_id, trade_id)
                self.changed = True
                if trade_id in ledger.missing:
                    found.append((trade_id, trade_id))
        return found

    def _all_plausible(
        self, trades: Sequence[Trade], runs: Sequence[Candle], ledger: Ledger, last_us: int, soon_us: int
    ) -> bool:
        """Return whether all trades are plausible, by a quick check; False where each must be assessed."""
        latest_us = max([run.last_event_time_us for run in runs])
        if latest_us > soon_us or not min([run.low for run in runs]):
            return False
        if not ZEROS.isdisjoint([trade.size for trade in trades]):
            return False
        if not ledger.numbered:
            return True
        ids = [trade.trade_id for trade in trades]
        low, high = min(ids), max(ids)
        if high > _MOST_LAST:
            return False
        if ledger.first > ledger.last:
            return high - low < _JUMP_IDS
        if low > ledger.last:
            return high - ledger.last <= _JUMP_IDS
        return high <= ledger.last and latest_us <= last_us

    def _assess(self, trade: Trade, progress: "_Progress", now_us: int) -> list[Trade]:
        now_us = max(now_us, trade.ingest_time_us)
        ahead_us = trade.event_time_us - max(now_us, progress.watermark_us)
        if ahead_us > _MOST_AHEAD_US:
            self._reject(trade, "time", f"its time is {_span(ahead_us)} in the future")
            self._note_lost(trade, progress)
            return []
        if trade.trade_id > _MOST_LAST:
            self._reject(trade, "id", f"trade id out of range: {trade.trade_id}")
            return []
        fault = _implausibility(trade, progress, ahead_us)
        if trade.price in ZEROS or trade.size in ZEROS:
            self._mark_zero_void(trade, progress, plausible=fault is None)
            return []
        if fault is None:
            if trade.trade_id > progress.last:
                self._count_against_suspects(trade, progress)
            return [trade]
        return self._suspect(trade, progress, *fault)

    def _suspect(self, trade: Trade, progress: "_Progress", why: Why, reason: str) -> list[Trade]:
        """Keep a trade aside; return it with those that it continues from, once they are enough."""
        self.changed = True
        for suspect in self._suspects:
            last = suspect.trades[-1]
            if suspect.trades[0].trade_id <= trade.trade_id <= last.trade_id:
                return []  # it has come twice
            if suspect.why == why and _continues(last, trade, numbered=progress.ledger.numbered):
                suspect.trades.append(trade)
                suspect.against = 0
                self._reject_repeated(suspect, trade)
                if len(suspect.trades) < suspect.confirming:
                    return []
                self._suspects.remove(suspect)
                return self._begin_series(suspect, progress) if why == "contradiction" else suspect.trades
        if len(self._suspects) == _MOST_SUSPECTS:
            self._drop(self._suspects[0], progress)
        ledger = progress.ledger
        again = why == "contradiction" and trade.trade_id - self.offset > 1 and trade.trade_id >= ledger.first
        again = again and trade.trade_id not in ledger.missing
        confirming = _CONFIRMING_AGAIN if again else CONFIRMING
        if why == "id" and trade.trade_id - progress.last <= _tradable(
            trade.event_time_us - progress.last_us
        ):
            confirming = _CONFIRMING_JUMP
        suspect = Suspect([trade], why, reason, confirming)
        self._suspects.append(suspect)
        self._reject_repeated(suspect, trade)
        return []

    def _release(self, progress: "_Progress") -> list[Trade]:
        """Return the trades of a suspect that the others, such as history's, have come near to."""
        for suspect in self._suspects:
            first = suspect.trades[0]
            if suspect.why == "id" and 0 < first.trade_id - progress.last <= _JUMP_IDS:
                self._suspects.remove(suspect)
                self.changed = True
                return suspect.trades
        return []

    def _reject_repeated(self, suspect: Suspect, trade: Trade) -> None:
        """Reject a trade whose id is taken at once, though it is still kept as a suspect."""
        if suspect.confirming == _CONFIRMING_AGAIN:
            self._reject(trade, suspect.why, suspect.reason)

    def _begin_series(self, suspect: Suspect, progress: "_Progress") -> list[Trade]:
        """Number on from the last id, leaving one for whatever was traded between the two series."""
        if progress.last > _MOST_LAST:  # ids could not go on from there
            self._suspects.append(suspect)
            self._drop(suspect, progress)
            return []
        for other in list(self._suspects):
            self._drop(other, progress)
        shift = progress.last + 2 - suspect.trades[0].trade_id
        self._series_gap = progress.last + 1
        self.offset += shift
        self.begun = progress.last + 2
        return [_with_id(trade, trade.trade_id + shift) for trade in suspect.trades]

    def _count_against_suspects(self, trade: Trade, progress: "_Progress") -> None:
        """Count an admitted trade against the suspects."""
        for suspect in list(self._suspects):
            first = suspect.trades[0]
            if suspect.why == "id" and trade.event_time_us < first.event_time_us:
                continue  # it was traded before, and may lead up to it
            suspect.against += 1
            self.changed = True
            passed = suspect.why != "contradiction" and trade.trade_id >= first.trade_id
            if passed or suspect.against >= _CONTRADICTING:
                self._drop(suspect, progress)

    def _drop(self, suspect: Suspect, progress: "_Progress") -> None:
        self._suspects.remove(suspect)
        for trade in suspect.trades:
            if suspect.confirming != _CONFIRMING_AGAIN:
                self._reject(trade, suspect.why, suspect.reason)
            if suspect.why == "time":
                self._note_lost(trade, progress)

    def _mark_zero_void(self, trade: Trade, progress: "_Progress", *, plausible: bool) -> None:
        """Count the id of a trade without a price or size as one of which the venue has no trade."""
        ledger = progress.ledger
        if trade.trade_id in ledger.void or trade.trade_id in self._void:
            return
        what = "price" if trade.price in ZEROS else "size"
        self._reject(trade, "zero", f"its {what} is 0: it counts as no trade")
        if plausible and ledger.numbered and not progress.empty:
            self._void.append(trade.trade_id)

    def _note_lost(self, trade: Trade, progress: "_Progress") -> None:
        """Remember the id of a rejected trade, which need not be waited for."""
        ahead = 0 < trade.trade_id - progress.last <= _JUMP_IDS and not progress.empty
        if progress.ledger.numbered and (ahead or trade.trade_id in progress.ledger.missing):
            self._lost.add(trade.trade_id, trade.trade_id)
            self.changed = True

    def _reject(self, trade: Trade, why: Why, reason: str) -> None:
        self._rejected.append(RejectedTrade(trade, why, reason))


class _Progress:
    """The position of a symbol while the trades of an entry are assessed one by one."""

    __slots__ = ("empty", "is_stored", "last", "last_us", "ledger", "watermark_us")

    def __init__(self, ledger: Ledger, last_us: int, watermark_us: int, is_stored: IsStored) -> None:
        self.ledger = ledger
        self.last = ledger.last
        self.last_us = last_us
        self.watermark_us = watermark_us
        self.is_stored = is_stored
        self.empty = ledger.first > ledger.last

    def take(self, trade: Trade) -> None:
        self.last = trade.trade_id if self.empty else max(self.last, trade.trade_id)
        self.last_us = max(self.last_us, trade.event_time_us)
        self.watermark_us = max(self.watermark_us, trade.event_time_us)
        self.empty = False


def _implausibility(trade: Trade, progress: _Progress, ahead_us: int) -> tuple[Why, str] | None:
    """Return what is implausible about a trade; None if nothing is."""
    if ahead_us > AHEAD_US:
        return "time", f"its time is {_span(ahead_us)} in the future, and no other trade confirms it"
    if not progress.ledger.numbered or progress.empty:
        return None
    if trade.trade_id > progress.last:
        jump = trade.trade_id - progress.last - 1
        if jump >= _JUMP_IDS:
            return "id", f"its id jumps by {jump} from {progress.last}, and no other trade continues from it"
    elif trade.trade_id in progress.ledger.missing:
        if trade.event_time_us > progress.last_us + SECOND_US:
            return "contradiction", f"it fills a gap before {progress.last}, but its time is after it"
    elif trade.event_time_us > progress.last_us and not progress.is_stored(trade):
        return "contradiction", f"its id is not after {progress.last}, but its time is"
    return None


def _tradable(elapsed_us: int) -> int:
    """Return how many ids a venue can have given to trades of one symbol in so much time."""
    return _JUMP_IDS + max(0, elapsed_us) * _JUMP_IDS_PER_S // SECOND_US


def _continues(before: Trade, trade: Trade, *, numbered: bool) -> bool:
    elapsed_us = trade.event_time_us - before.event_time_us
    jump = trade.trade_id - before.trade_id - 1
    return -MINUTE_US <= elapsed_us <= DAY_US and jump >= 0 and (not numbered or jump < _tradable(elapsed_us))


def _with_id(trade: Trade, trade_id: int) -> Trade:
    return replace(trade, trade_id=trade_id)


def _span(time_us: int) -> str:
    days, rest = divmod(time_us // SECOND_US, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"
