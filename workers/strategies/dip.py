"""`dip`: the price falls far below the mean of the prices before it."""

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from typing import Annotated, ClassVar

from msgspec import Meta, field

from tickplant.market import EXACT, Trade
from workers.roles.events import Run
from workers.strategies.base import NEITHER, Held, Opinion, Strategy, clearness


class Dip(Strategy):
    """Buy when a trade's price is below `share` times the mean of the `length` prices before it.

    The comparison is exact. There is no opinion before the first `length` prices.
    """

    name = "dip"
    trades = True
    share: ClassVar[Decimal] = Decimal("0.99")
    length: ClassVar[Annotated[int, Meta(ge=1)]] = 10

    prices: list[Decimal] = field(default_factory=list)
    """Of the last trades, `length` at the most."""

    def run(self, run: Run) -> Sequence[Held]:
        """Read trades; check them one by one only if their extremes allow a dip."""
        before, length = self.prices, self.length
        candle, trades = run.candle, run.trades
        highest = max([candle.high, *before])  # no mean is higher
        if candle.low < EXACT.multiply(self.share, highest):
            prices = before + [Decimal(trade.price) for trade in trades]
            held = self._check_each(trades, prices)
        else:
            new = [candle.close] if len(trades) == 1 else [Decimal(trade.price) for trade in trades[-length:]]
            prices = before + new
            held = [Held(trades[-1], NEITHER)] if len(before) + len(trades) > length else []
        self.prices = prices[-length:]
        return held

    def _check_each(self, trades: Sequence[Trade], prices: list[Decimal]) -> list[Held]:
        """Return an opinion for each trade with enough prices before it."""
        length = self.length
        begin = max(length, len(prices) - len(trades))
        total = reduce(EXACT.add, prices[begin - length : begin], Decimal(0))
        held = []
        for place in range(begin, len(prices)):
            price = prices[place]
            held.append(Held(trades[place - len(prices)], self._opinion(price, total)))
            total = EXACT.add(total, EXACT.subtract(price, prices[place - length]))
        return held

    def _opinion(self, price: Decimal, total: Decimal) -> Opinion:
        if EXACT.multiply(price, self.length) >= EXACT.multiply(self.share, total):
            return NEITHER
        mean = float(total) / self.length
        depth = 1 - float(price) / mean
        values = {"price": float(price), "mean": mean}
        return Opinion("buy", clearness(depth, 1 - float(self.share)), values)
