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
    """Computes the averages of one symbol from the last closes of each interval."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        specs: AverageSpecs,
        windows: Mapping[str, CandleWindow] = MappingProxyType({}),
    ) -> None:
        """Restore what the database holds.

        Args:
            venue: the symbol's.
            symbol: as the venue writes it.
            specs: what is computed.
            windows: the last closed candles by interval, from `db.averages.read_candle_windows`.
        """
        self._venue = venue
        self._symbol = symbol
        self._specs = specs
        self._closes = {
            interval: CandleCloses(window, windows.get(interval, EMPTY_WINDOW))
            for interval in INTERVALS
            if (window := specs.window(interval))
        }

    def close(self, candle: Candle) -> list[Average]:
        """Add a whole candle that has closed, the newest of its interval; return its averages."""
        closes = self._closes.get(candle.interval)
        if closes is None:
            return []
        closes.put(candle)
        known = closes.through(candle.open_time_us)
        if candle.interval not in self._specs.intervals:
            return []
        return [
            Average(self._venue, self._symbol, candle.interval, candle.open_time_us, spec.name, value)
            for spec in self._specs.averages
            if (value := average(spec, known)) is not None
        ]

    def statistics(self, candle: Candle) -> Statistics | None:
        """Return the statistics of a minute added by `close`; None where no earlier minute is known."""
        closes = self._closes[BASE]
        found = return_statistics(closes.through(candle.open_time_us), self._specs.returns)
        return Statistics(self._venue, self._symbol, candle.open_time_us, *found) if found else None

    def correct(self, part: Candle) -> bool:
        """Add late trades of a candle that has closed, or would have if it had existed.

        Args:
            part: these trades alone, as part of the candle.

        Returns:
            Whether stored averages may have changed: the candle's and some of those after it.
        """
        closes = self._closes.get(part.interval)
        return closes is not None and closes.put(part)


class PartitionAverages:
    """The averages of all symbols of a partition."""

    def __init__(self, specs: AverageSpecs, windows: Mapping[SymbolId, Mapping[str, CandleWindow]]) -> None:
        """Restore what the database holds.

        Args:
            specs: what is computed.
            windows: from `db.averages.read_candle_windows`.
        """
        self._specs = specs
        self._remembered = dict(windows)

    def of(self, symbol: SymbolId) -> SymbolAverages:
        """Restore the averages of a symbol, once."""
        return SymbolAverages(*symbol, self._specs, self._remembered.pop(symbol, _NO_WINDOWS))

    def take(
        self,
        averages: Sequence[Average],
        statistics: Sequence[Statistics],
        corrected: Iterable[Candle],
    ) -> AverageRows | None:
        """Return what to store; None if there is nothing.

        Args:
            averages: new ones.
            statistics: new ones.
            corrected: late parts of candles that had closed.
        """
        keys = [CandleKey(part.venue, part.symbol, part.interval, part.open_time_us) for part in corrected]
        if not (averages or statistics or keys):
            return None
        return AverageRows(averages, statistics, keys, self._specs)


class CandleCloses:
    """The last closes of one interval, oldest first, each with its trade."""

    def __init__(self, window: int, stored: CandleWindow) -> None:
        """Restore closes.

        Args:
            window: how many are needed.
            stored: the last ones, `window` of them or all that exist.
        """
        self._window = window
        self._open_times_us = array("q", stored.open_times_us)
        self._closes = array("d", stored.closes)
        self._last_times_us = array("q", stored.last_event_times_us)
        self._last_ids = array("q", stored.last_trade_ids)

    def through(self, open_time_us: int) -> Sequence[float]:
        """Return the last closes up to that of a candle, at most `window`."""
        end = bisect_right(self._open_times_us, open_time_us)
        return self._closes[max(0, end - self._window) : end]

    def put(self, part: Candle) -> bool:
        """Merge a candle, or a part of one; the last of all its trades makes the close.

        Returns:
            Whether a close has changed, or may have: one that is no longer in memory.
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
            self._drop_oldest(len(self._closes) - self._window)
        return True

    def _replace(self, index: int, part: Candle) -> bool:
        last = part.last_event_time_us, part.last_trade_id
        known = self._last_times_us[index], self._last_ids[index]
        if last <= known:
            # Equal: a held trade that is also in its candle, which a new owner has loaded.
            return last == known
        before, self._closes[index] = self._closes[index], float(part.close)
        self._last_times_us[index], self._last_ids[index] = last
        return before != self._closes[index]

    def _drop_oldest(self, count: int) -> None:
        for column in (self._open_times_us, self._closes, self._last_times_us, self._last_ids):
            del column[:count]
