"""What is missing of one symbol, and when each of it is to be asked for. Pure but for its reader."""

from collections.abc import Sequence

from ingest.history.gap_attempts import REFUSED_DELAY_S, GapAttempts
from ingest.history.reader import HistoryReader
from ingest.venues.base import MissingRange
from tickplant import market
from tickplant.backoff import Backoff


class SymbolGaps:
    """The looks at one symbol's gaps: those in the ledger, those suspected, and those to be confirmed."""

    def __init__(self, reader: HistoryReader) -> None:
        """Take what reads the symbol's history."""
        self.reader = reader
        self.suspected: GapAttempts | None = None
        """At trades that may have been lost; the ledger doesn't know of them."""
        self.failing: str | None = None
        """Why the last look had no answer; None if it had."""
        self._looks: dict[tuple[int, int], GapAttempts] = {}
        self._open: set[tuple[int, int]] = set()
        self._confirming: list[GapAttempts] = []
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self._paused_until_s = 0.0

    def note(self, gaps: Sequence[market.Gap], now_s: float, started_s: float) -> None:
        """Take the gaps that are not healed."""
        looks = {}
        for known in gaps:
            gap = MissingRange(known.symbol, known.first_id, known.last_id, known.after_time_us)
            suspected = known.state == "suspected"
            # What workers suspect becomes shorter with every trade, and is still the same.
            key = (-1 if suspected else gap.first_id), gap.last_id
            look = self._looks.get(key)
            if look is None:
                due_s = started_s + REFUSED_DELAY_S if known.state == "unrecoverable" else now_s
                look = GapAttempts(gap, due_s=max(now_s, due_s), suspected=suspected)
            elif look.due_s <= now_s and (known.missing > look.missing or look.gap != gap):
                look.renew(gap)
            looks[key] = look
        self._looks = looks
        self._open = {(gap.first_id, gap.last_id) for gap in gaps if gap.state == "open"}

    def due(self, now_s: float) -> list[GapAttempts]:
        """Return what is to be looked at now."""
        if now_s < self._paused_until_s:
            return []
        suspected = [self.suspected] if self.suspected is not None else []
        every = [*suspected, *self._confirming, *self._looks.values()]
        return [look for look in every if look.due_s <= now_s and look.lacking]

    def is_open(self, gap: MissingRange) -> bool:
        """Say whether a gap is in the ledger, and it has not been said that it is being asked for."""
        return (gap.first_id, gap.last_id) in self._open

    def confirm(self, gap: MissingRange, due_s: float) -> None:
        """Look once more, later, at ids that were left out."""
        self._confirming.append(GapAttempts(gap, due_s=due_s, suspected=True, most_tries=1))

    def drop_over(self, look: GapAttempts) -> None:
        """Forget a suspected gap that need not be looked at again."""
        if look.over:
            self.forget_suspected([look])

    def forget_suspected(self, looks: Sequence[GapAttempts]) -> None:
        """Forget suspected gaps."""
        if self.suspected in looks:
            self.suspected = None
        self._confirming = [look for look in self._confirming if look not in looks]

    def pause(self, now_s: float) -> None:
        """Ask for nothing for a while, after a failure."""
        self._paused_until_s = now_s + self._backoff.next_s()

    def resume(self) -> None:
        """Begin with short pauses again, after a success."""
        self._backoff.reset()
