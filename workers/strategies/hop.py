"""`hop`: the mean price of the last hundred seconds hops, and the volume rises with it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from itertools import accumulate
from operator import mul
from typing import Annotated, ClassVar

from msgspec import Meta, field

from tickplant.intervals import SECOND_US
from tickplant.market import EXACT, Trade
from workers.roles.events import Run
from workers.strategies.base import NEITHER, Held, Opinion, Strategy, clearness

_ONE = Decimal(1)
_ZERO = Decimal(0)

Sums = tuple[int, str, str]
"""A second since the epoch, and as decimal text the volume and quote volume of its trades."""


class Hop(Strategy):
    """Buy where the mean price of a window is more than `threshold` above that of the window before.

    Sell where it is as far below. A window is the `window_s` whole seconds up to the end of a second that had
    trades; the one before ends a second earlier. The mean weighs prices with sizes: it is quote volume over
    volume. The volume must have risen, too. A second ends with the first trade of a later one, at which the
    opinion is held; trades that are late by the venue's clock count to the second that has begun. All of it
    is exact.
    """

    name = "hop"
    trades = True
    window_s: ClassVar[Annotated[int, Meta(ge=1)]] = 100
    threshold: ClassVar[Decimal] = Decimal("0.0002")

    begin: int | None = None
    """The second of the first trade."""
    second: int = 0
    """The second that has begun."""
    volume: Decimal = _ZERO
    """Of that second; so is the following."""
    quote_volume: Decimal = _ZERO
    window: list[Sums] = field(default_factory=list)
    """Seconds that had trades, up to the one before."""
    window_volume: Decimal = _ZERO
    """Of the window; so is the following."""
    window_quote_volume: Decimal = _ZERO

    def run(self, run: Run) -> Sequence[Held]:
        """Read trades; where they are of one second, their sums are those of the candle."""
        candle, trades = run.candle, run.trades
        if self.begin is None:
            self.begin = self.second = trades[0].event_time_us // SECOND_US
        last = candle.last_event_time_us // SECOND_US
        if last <= self.second or last == candle.first_event_time_us // SECOND_US:
            return self._add(last, trades[0], candle.volume, candle.quote_volume)
        with localcontext(EXACT):
            return [held for second, part in self._by_second(trades) for held in self._add_all(second, part)]

    def _by_second(self, trades: Sequence[Trade]) -> Iterator[tuple[int, Sequence[Trade]]]:
        times = list(accumulate([trade.event_time_us for trade in trades], max))
        start = 0
        while start < len(trades):
            second = max(self.second, times[start] // SECOND_US)
            end = bisect_left(times, (second + 1) * SECOND_US, start)
            yield second, trades[start:end]
            start = end

    def _add_all(self, second: int, trades: Sequence[Trade]) -> Sequence[Held]:
        prices = [Decimal(trade.price) for trade in trades]
        sizes = [Decimal(trade.size) for trade in trades]
        return self._add(second, trades[0], sum(sizes, _ZERO), sum(map(mul, prices, sizes), _ZERO))

    def _add(self, second: int, first: Trade, volume: Decimal, quote_volume: Decimal) -> Sequence[Held]:
        """Add trades of the present second or of one before it, or begin a later one."""
        if second <= self.second:
            self.volume = EXACT.add(self.volume, volume)
            self.quote_volume = EXACT.add(self.quote_volume, quote_volume)
            return ()
        opinion = self._end_second()
        self.second, self.volume, self.quote_volume = second, volume, quote_volume
        return () if opinion is None else (Held(first, opinion),)

    def _end_second(self) -> Opinion | None:
        """Let the window hop to the end of the present second; None before two windows are whole."""
        oldest = self.second - self.window_s
        self._drop_before(oldest)
        volume, quote_volume = self.window_volume, self.window_quote_volume
        self._drop_before(oldest + 1)
        self.window.append((self.second, _short(self.volume), _short(self.quote_volume)))
        self.window_volume = EXACT.add(self.window_volume, self.volume)
        self.window_quote_volume = EXACT.add(self.window_quote_volume, self.quote_volume)
        assert self.begin is not None
        return self._opinion(volume, quote_volume) if self.begin < oldest else None

    def _drop_before(self, second: int) -> None:
        while self.window and self.window[0][0] < second:
            _, volume, quote_volume = self.window.pop(0)
            self.window_volume = EXACT.subtract(self.window_volume, Decimal(volume))
            self.window_quote_volume = EXACT.subtract(self.window_quote_volume, Decimal(quote_volume))

    def _opinion(self, volume_before: Decimal, quote_volume_before: Decimal) -> Opinion:
        volume, quote_volume = self.window_volume, self.window_quote_volume
        if not volume > volume_before > 0:
            return NEITHER
        # The means' ratio is compared without dividing, which would round.
        now = EXACT.multiply(quote_volume, volume_before)
        before = EXACT.multiply(quote_volume_before, volume)
        least = EXACT.multiply(before, _ONE - self.threshold)
        if least <= now <= EXACT.multiply(before, _ONE + self.threshold):
            return NEITHER
        means = float(quote_volume) / float(volume), float(quote_volume_before) / float(volume_before)
        hop = abs(means[0] / means[1] - 1) if means[1] else 1.0
        values = {
            "mean": means[0],
            "mean_before": means[1],
            "volume": float(volume),
            "volume_before": float(volume_before),
        }
        return Opinion("buy" if now > before else "sell", clearness(hop, float(self.threshold)), values)


def _short(sum_: Decimal) -> str:
    """Write a sum without zeros at its end: it is stored with every commit while it is in the window."""
    return str(EXACT.normalize(sum_))
