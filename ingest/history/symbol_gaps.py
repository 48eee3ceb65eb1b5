"""The gaps of one symbol, and when each is fetched next."""

from collections.abc import Sequence

from ingest.history.gap_fetch import REFUSED_DELAY_S, GapFetch
from ingest.history.reader import HistoryReader
from ingest.venues.base_rest import MissingRange
from tickplant import market
from tickplant.backoff import Backoff
from tickplant.outage import OutageLog


class SymbolGaps:
    """The fetches of one symbol: gaps in the ledger, a suspected gap, and void ids to confirm."""

    def __init__(self, reader: HistoryReader, outage: OutageLog) -> None:
        """Initialize without gaps.

        Args:
            reader: of the symbol's history.
            outage: logs when history becomes unavailable and available again.
        """
        self.reader = reader
        self.outage = outage
        self.suspected: GapFetch | None = None
        """The fetch of trades that may be lost; the ledger has no such gap."""
        self._fetches: dict[tuple[int, int], GapFetch] = {}
        self._open: set[tuple[int, int]] = set()
        self._confirming: list[GapFetch] = []
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self._paused_until_s = 0.0

    def update(self, gaps: Sequence[market.Gap], now_s: float, started_s: float) -> None:
        """Update the fetches from the ledger's gaps."""
        fetches = {}
        for stored in gaps:
            gap = MissingRange(stored.symbol, stored.first_id, stored.last_id, stored.after_time_us)
            suspected = stored.state == "suspected"
            # A gap that workers suspect becomes shorter with every trade; it is identified by its last id.
            key = (-1 if suspected else gap.first_id), gap.last_id
            fetch = self._fetches.get(key)
            if fetch is None:
                due_s = started_s + REFUSED_DELAY_S if stored.state == "unrecoverable" else now_s
                fetch = GapFetch(gap, due_s=max(now_s, due_s), suspected=suspected)
            elif fetch.due_s <= now_s and (stored.missing > fetch.missing or fetch.gap != gap):
                fetch.reset(gap)
            fetches[key] = fetch
        self._fetches = fetches
        self._open = {(gap.first_id, gap.last_id) for gap in gaps if gap.state == "open"}

    def due(self, now_s: float) -> list[GapFetch]:
        """Return the fetches that are due; none during a pause."""
        if now_s < self._paused_until_s:
            return []
        suspected = [self.suspected] if self.suspected is not None else []
        fetches = [*suspected, *self._confirming, *self._fetches.values()]
        return [fetch for fetch in fetches if fetch.due_s <= now_s and fetch.unavailable]

    def is_open(self, gap: MissingRange) -> bool:
        """Return whether a gap is open in the ledger, not yet being backfilled."""
        return (gap.first_id, gap.last_id) in self._open

    def confirm(self, gap: MissingRange, due_s: float) -> None:
        """Schedule one more attempt at void ids."""
        self._confirming.append(GapFetch(gap, due_s=due_s, suspected=True, max_attempts=1))

    def drop_finished(self, fetch: GapFetch) -> None:
        """Drop a suspected gap if it is finished."""
        if fetch.finished:
            self.forget_suspected([fetch])

    def forget_suspected(self, fetches: Sequence[GapFetch]) -> None:
        """Drop suspected gaps."""
        if self.suspected in fetches:
            self.suspected = None
        self._confirming = [fetch for fetch in self._confirming if fetch not in fetches]

    def pause(self, now_s: float) -> None:
        """Pause with backoff after a failure."""
        self._paused_until_s = now_s + self._backoff.next_s()

    def resume(self) -> None:
        """Reset the backoff after a success."""
        self._backoff.reset()
