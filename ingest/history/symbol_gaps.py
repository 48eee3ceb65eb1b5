"""What is missing of one symbol, and when each of it is to be asked for. Pure but for its reader."""

from collections.abc import Sequence

from ingest.history.gap_fetch import REFUSED_DELAY_S, GapFetch
from ingest.history.reader import HistoryReader
from ingest.venues.base import MissingRange
from tickplant import market
from tickplant.backoff import Backoff


class SymbolGaps:
    """The fetches at one symbol's gaps: those in the ledger, those suspected, and those to be confirmed."""

    def __init__(self, reader: HistoryReader) -> None:
        """Take what reads the symbol's history."""
        self.reader = reader
        self.suspected: GapFetch | None = None
        """At trades that may have been lost; the ledger doesn't know of them."""
        self.failing: str | None = None
        """Why the last look had no answer; None if it had."""
        self._fetches: dict[tuple[int, int], GapFetch] = {}
        self._open: set[tuple[int, int]] = set()
        self._confirming: list[GapFetch] = []
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self._paused_until_s = 0.0

    def note(self, gaps: Sequence[market.Gap], now_s: float, started_s: float) -> None:
        """Take the gaps that are not healed."""
        fetches = {}
        for known in gaps:
            gap = MissingRange(known.symbol, known.first_id, known.last_id, known.after_time_us)
            suspected = known.state == "suspected"
            # What workers suspect becomes shorter with every trade, and is still the same.
            key = (-1 if suspected else gap.first_id), gap.last_id
            fetch = self._fetches.get(key)
            if fetch is None:
                due_s = started_s + REFUSED_DELAY_S if known.state == "unrecoverable" else now_s
                fetch = GapFetch(gap, due_s=max(now_s, due_s), suspected=suspected)
            elif fetch.due_s <= now_s and (known.missing > fetch.missing or fetch.gap != gap):
                fetch.reset(gap)
            fetches[key] = fetch
        self._fetches = fetches
        self._open = {(gap.first_id, gap.last_id) for gap in gaps if gap.state == "open"}

    def due(self, now_s: float) -> list[GapFetch]:
        """Return what is to be looked at now."""
        if now_s < self._paused_until_s:
            return []
        suspected = [self.suspected] if self.suspected is not None else []
        every = [*suspected, *self._confirming, *self._fetches.values()]
        return [fetch for fetch in every if fetch.due_s <= now_s and fetch.unavailable]

    def is_open(self, gap: MissingRange) -> bool:
        """Say whether a gap is in the ledger, and it has not been said that it is being asked for."""
        return (gap.first_id, gap.last_id) in self._open

    def confirm(self, gap: MissingRange, due_s: float) -> None:
        """Look once more, later, at ids that were left out."""
        self._confirming.append(GapFetch(gap, due_s=due_s, suspected=True, max_attempts=1))

    def drop_finished(self, fetch: GapFetch) -> None:
        """Forget a suspected gap that need not be looked at again."""
        if fetch.finished:
            self.forget_suspected([fetch])

    def forget_suspected(self, fetches: Sequence[GapFetch]) -> None:
        """Forget suspected gaps."""
        if self.suspected in fetches:
            self.suspected = None
        self._confirming = [fetch for fetch in self._confirming if fetch not in fetches]

    def pause(self, now_s: float) -> None:
        """Ask for nothing for a while, after a failure."""
        self._paused_until_s = now_s + self._backoff.next_s()

    def resume(self) -> None:
        """Begin with short pauses again, after a success."""
        self._backoff.reset()
