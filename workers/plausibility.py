"""Plausibility of a trade, given the trades of its symbol before it. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from tickplant.intervals import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tickplant.market import Candle, Trade
from tickplant.trade_rules import MAX_TRADE_ID, ZEROS
from workers.ledger import Ledger
from workers.rejections import RejectionKind

MAX_ID: Final = MAX_TRADE_ID - 2**48
"""The greatest id that is admitted; the ids above are left for a series that starts after it."""

MAX_JUMP: Final = 1_000
"""Ids that may be missing before a trade that is admitted at once."""
_MAX_JUMP_PER_S: Final = 100
"""Ids more than that for each second in which a venue can have traded."""

SUSPECT_AHEAD_US: Final = MINUTE_US
"""How far event times may be ahead of our clocks before a trade is a suspect."""
REJECT_AHEAD_US: Final = 12 * HOUR_US
"""How far they may be ahead of our clocks, which may themselves be wrong, before a trade is rejected."""

IsStored = Callable[[Trade], bool]


class SymbolProgress:
    """The ids and times of a symbol while the trades of an entry are assessed one by one."""

    __slots__ = ("empty", "is_stored", "last", "last_us", "ledger", "watermark_us")

    def __init__(self, ledger: Ledger, last_us: int, watermark_us: int, is_stored: IsStored) -> None:
        self.ledger = ledger
        self.last = ledger.last
        self.last_us = last_us
        self.watermark_us = watermark_us
        self.is_stored = is_stored
        self.empty = ledger.first > ledger.last

    def admit(self, trade: Trade) -> None:
        """Advance by an admitted trade."""
        self.last = trade.trade_id if self.empty else max(self.last, trade.trade_id)
        self.last_us = max(self.last_us, trade.event_time_us)
        self.watermark_us = max(self.watermark_us, trade.event_time_us)
        self.empty = False


def all_plausible(
    trades: Sequence[Trade], runs: Sequence[Candle], ledger: Ledger, last_us: int, limit_us: int
) -> bool:
    """Return whether all trades are plausible, by a quick check; False where each must be assessed.

    Args:
        trades: of one entry.
        runs: the same, folded by `fold_runs`.
        ledger: the ids admitted before.
        last_us: the latest event time admitted before.
        limit_us: the latest event time that is plausible.
    """
    latest_us = max([run.last_event_time_us for run in runs])
    if latest_us > limit_us or not min([run.low for run in runs]):
        return False
    if not ZEROS.isdisjoint([trade.size for trade in trades]):
        return False
    if not ledger.numbered:
        return True
    ids = [trade.trade_id for trade in trades]
    low, high = min(ids), max(ids)
    if high > MAX_ID:
        return False
    if ledger.first > ledger.last:
        return high - low < MAX_JUMP
    if low > ledger.last:
        return high - ledger.last <= MAX_JUMP
    return high <= ledger.last and latest_us <= last_us


def implausibility(trade: Trade, progress: SymbolProgress, ahead_us: int) -> tuple[RejectionKind, str] | None:
    """Return what is implausible about a trade; None if nothing is.

    Args:
        trade: to be assessed.
        progress: of its symbol.
        ahead_us: how far its event time is ahead of our clocks and the watermark.
    """
    if ahead_us > SUSPECT_AHEAD_US:
        return "time", f"its time is {duration_text(ahead_us)} in the future, and no other trade confirms it"
    if not progress.ledger.numbered or progress.empty:
        return None
    if trade.trade_id > progress.last:
        jump = trade.trade_id - progress.last - 1
        if jump >= MAX_JUMP:
            return "id", f"its id jumps by {jump} from {progress.last}, and no other trade continues from it"
    elif trade.trade_id in progress.ledger.missing:
        if trade.event_time_us > progress.last_us + SECOND_US:
            return "contradiction", f"it fills a gap before {progress.last}, but its time is after it"
    elif trade.event_time_us > progress.last_us and not progress.is_stored(trade):
        return "contradiction", f"its id is not after {progress.last}, but its time is"
    return None


def max_jump(elapsed_us: int) -> int:
    """Return how many ids a venue can have assigned to trades of one symbol in a time."""
    return MAX_JUMP + max(0, elapsed_us) * _MAX_JUMP_PER_S // SECOND_US


def continues(before: Trade, trade: Trade, *, numbered: bool) -> bool:
    """Return whether a trade can be one of the next after another, by id and time."""
    elapsed_us = trade.event_time_us - before.event_time_us
    jump = trade.trade_id - before.trade_id - 1
    return -MINUTE_US <= elapsed_us <= DAY_US and jump >= 0 and (not numbered or jump < max_jump(elapsed_us))


def duration_text(time_us: int) -> str:
    """Return a duration in days, hours and minutes, for messages."""
    days, rest = divmod(time_us // SECOND_US, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"
