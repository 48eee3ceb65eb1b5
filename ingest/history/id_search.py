"""The search for the first trade id at or after a time. Pure."""

from typing import Final

from ingest.history.page import PAGE_IDS

_FIRST_STEP: Final = PAGE_IDS
_STEP_FACTOR: Final = 8


class IdSearch:
    """A search for the first id at or after a time; times rise with ids."""

    def __init__(self, time_us: int) -> None:
        self._time_us = time_us
        self._before: tuple[int, int] | None = None
        """Id and time of the last known trade before the time."""
        self._after: tuple[int, int] | None = None
        """Id and time of the first known trade at or after the time."""
        self._lower = 0
        """Every trade below this id is before the time."""
        self._upper: int | None = None
        """No trade from this id on is before the time."""
        self._step = _FIRST_STEP
        self._interpolate = True

    @property
    def found(self) -> int | None:
        """The result after the search; None if there are no trades."""
        if self._after is not None:
            return self._after[0]
        return self._before[0] + 1 if self._before is not None else None

    def add_trade(self, trade_id: int, time_us: int) -> None:
        """Add a trade."""
        if time_us < self._time_us:
            if self._before is None or trade_id > self._before[0]:
                self._before = trade_id, time_us
                self._lower = max(self._lower, trade_id + 1)
        elif self._after is None or trade_id < self._after[0]:
            self._after = trade_id, time_us
            self.set_upper(trade_id)

    def set_lower(self, trade_id: int) -> None:
        """Note that there are no trades below an id."""
        self._lower = max(self._lower, trade_id)

    def set_upper(self, trade_id: int) -> None:
        """Note that no trade from an id on is before the time."""
        self._upper = trade_id if self._upper is None else min(self._upper, trade_id)

    def probe(self) -> int | None:
        """Return the first id of the next page; None when the search has ended."""
        if self._lower == 0 and self._upper != 0:
            return 0  # selects the page that starts with the venue's oldest trade
        if self._upper is None:
            step, self._step = self._step, self._step * _STEP_FACTOR
            return self._lower + step
        if self._lower >= self._upper:
            return None
        if self._upper - self._lower <= PAGE_IDS:
            return self._lower
        guess = (self._lower + self._upper) // 2
        if self._interpolate and self._before is not None and self._after is not None:
            (low_id, low_us), (high_id, high_us) = self._before, self._after
            share = (self._time_us - low_us) * (high_id - low_id) // (high_us - low_us)
            guess = low_id + share - PAGE_IDS // 2
        self._interpolate = not self._interpolate
        return min(max(guess, self._lower), self._upper - 1)
