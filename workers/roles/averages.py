"""The role `averages`: averages and statistics of closed candles. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from db.averages import EMPTY_WINDOW, AverageRows, CandleKey, CandleWindow
from tickplant.averages import AverageSpecs, average, return_statistics
from tickplant.derived import Average, Statistics
from tickplant.intervals import BASE, INTERVALS
from tickplant.market import Candle, SymbolId

_NO_WINDOWS: Final[Mapping[str, CandleWindow]] = MappingProxyType({})


class SymbolAverages:
    """The last closes of one symbol in each interval."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        specs: AverageSpecs,
        remembered: Mapping[str, CandleWindow] = MappingProxyType({}),
    ) -> None:
        """Begin with what the database holds.

        Args:
            venue: the symbol's.
            symbol: as the venue writes it.
            specs: what is computed.
            remembered: the last closed candles by interval, as `db.averages.read_candle_windows` gives them.
        """
        self._venue = venue
        self._symbol = symbol
        self._specs = specs
        self._closes = {
            interval: CandleCloses(window, remembered.get(interval, EMPTY_WINDOW))
            for interval in INTERVALS
            if (window := specs.window(interval))
        }

    def close(self, candle: Candle) -> list[Average]:
        """Take a whole candle that has closed, the newest of its interval, and return its averages."""
        closes = self._closes.get(candle.interval)
        if closes is None:
            return []
        closes.put(candle)
        seen = closes.through(candle.open_time_us)
        if candle.interval not in self._specs.intervals:
            return []
        return [
            Average(self._venue, self._symbol, candle.interval, candle.open_time_us, spec.name, value)
            for spec in self._specs.averages
            if (value := average(spec, seen)) is not None
        ]

    def statistics(self, candle: Candle) -> Statistics | None:
        """Return the statistics of a minute that `close` has taken; None where none before it is known."""
        closes = self._closes[BASE]
        found = return_statistics(closes.through(candle.open_time_us), self._specs.returns)
        return Statistics(self._venue, self._symbol, candle.open_time_us, *found) if found else None

    def correct(self, part: Candle) -> bool:
        """Take late trades of a candle that has closed already, or of one that would have, had it existed.

        Args:
            part: just these trades, as part of the candle.

        Returns:
            Whether averages that are stored may have changed: the candle's and some of those after it.
        """
        closes = self._closes.get(part.interval)
        return closes is not None and closes.put(part)


class PartitionAverages:
    """Makes the averages of each symbol, and gathers what they store."""

    def __init__(
        self, specs: AverageSpecs, remembered: Mapping[SymbolId, Mapping[str, CandleWindow]]
    ) -> None:
        """Begin with what the database holds.

        Args:
            specs: what is computed.
            remembered: of `db.averages.read_candle_windows`.
        """
        self._specs = specs
        self._remembered = dict(remembered)

    def of(self, symbol: SymbolId) -> SymbolAverages:
        """Make the averages of a symbol, once, as they were stored."""
        return SymbolAverages(*symbol, self._specs, self._remembered.pop(symbol, _NO_WINDOWS))

    def take(
        self,
        averages: Sequence[Average],
        statistics: Sequence[Statistics],
        corrected: Iterable[Candle],
    ) -> AverageRows | None:
        """Return what to store of what has come; None if nothing has."""
        keys = [CandleKey(it.venue, it.symbol, it.interval, it.open_time_us) for it in corrected]
        if not (averages or statistics or keys):
            return None
        return AverageRows(averages, statistics, keys, self._specs)


class CandleCloses:
    """The last closes of one interval, oldest first, each with the trade that made it."""

    def __init__(self, window: int, remembered: CandleWindow) -> None:
        """Begin with some.

        Args:
            window: how many are kept, at least.
            remembered: the last ones, `window` of them or all that there are.
        """
        self._window = window
        self._open_times_us = array("q", remembered.open_times_us)
        self._closes = array("d", remembered.closes)
        self._last_times_us = array("q", remembered.last_event_times_us)
        self._last_ids = array("q", remembered.last_trade_ids)

    def through(self, open_time_us: int) -> Sequence[float]:
        """Return the closes up to that of a candle, as many as count."""
        end = bisect_right(self._open_times_us, open_time_us)
        return self._closes[max(0, end - self._window) : end]

    def put(self, part: Candle) -> bool:
        """Merge a candle, or a part of one: of all its trades the last makes the close.

        Returns:
            Whether there is another close than before, or may be: one that is no longer kept.
        """
        index = bisect_left(self._open_times_us, part.open_time_us)
        if not index and len(self._closes) >= self._window:
            return part.open_time_us != self._open_times_us[0] or self._replace(0, part)
        if index < len(self._closes) and self._open_times_us[index] == part.open_time_us:
            return self._replace(index, part)
        self._open_times_us.insert(index, part.open_time_us)
        self._closes.insert(index, float(part.close))
        self._last_times_us.insert(index, part.last_event_time_us)
        self._last_ids.insert(index, part.last_trade_id)
        if len(self._closes) >= 2 * self._window:  # rarely, and many at once
            self._forget(len(self._closes) - self._window)
        return True

    def _replace(self, index: int, part: Candle) -> bool:
        last = part.last_event_time_us, part.last_trade_id
        known = self._last_times_us[index], self._last_ids[index]
        if last <= known:
            # The same: a trade that waited for another, and was read with its candle by a new owner.
            return last == known
        before, self._closes[index] = self._closes[index], float(part.close)
        self._last_times_us[index], self._last_ids[index] = last
        return before != self._closes[index]

    def _forget(self, count: int) -> None:
        for column in (self._open_times_us, self._closes, self._last_times_us, self._last_ids):
            del column[:count]
