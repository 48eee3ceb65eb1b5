"""Makes up markets: deterministic by seed, with plausible prices, sizes and bursts, and ids that count up.

Nothing here is a claim about real markets. A taker's order makes one trade or several at one moment, each at
the same price or a tick worse; prices wander and are drawn back, so that they stay plausible for ever.
"""

import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

from sandbox.binance.frames import VENUE, encode_trade, trade_stream
from sandbox.tape import Tape
from tickplant.market import SymbolId

START_US: Final = 1_767_225_600_000_000
"""When a generated tape begins: 2026-01-01."""

KNOWN: Final[dict[str, tuple[float, int, int]]] = {
    "BTCUSDT": (60_000, 2, 5),
    "ETHUSDT": (2_600, 2, 4),
    "PEPEUSDT": (0.00001, 8, 0),
    "SOLUSDT": (150, 2, 3),
    "BNBUSDT": (550, 2, 3),
    "XRPUSDT": (0.6, 4, 1),
    "DOGEUSDT": (0.12, 5, 0),
    "ADAUSDT": (0.4, 4, 1),
    "SHIBUSDT": (0.000018, 8, 0),
    "LTCUSDT": (70, 2, 3),
    "USDCUSDT": (1, 4, 0),
}
"""Symbols with a usual price, and the decimal places of their prices and sizes."""

_ORDER_VALUE: Final = 400
"""Of a usual trade, in units of the quote currency."""
_VOLATILITY: Final = 4e-6
"""How far an order moves the price, on average, as a share of it."""
_LEASH: Final = 0.05
"""How far the price may wander from where it began before it is surely drawn back."""


class MadeTrade(Struct, frozen=True, gc=False):
    """One trade, yet without a time."""

    market: int
    """Index of its market."""
    trade_id: int
    price: str
    size: str
    buyer_is_maker: bool


class Market:
    """One symbol's order flow.

    Args:
        symbol: as Binance writes it.
        seed: the same seed gives the same trades, whichever other symbols there are.
    """

    def __init__(self, symbol: str, seed: int) -> None:
        self._random = random.Random(f"{seed}:{symbol}").random  # noqa: S311  not for secrets
        price, self.price_decimals, self.size_decimals = KNOWN.get(symbol) or self._invent()
        self.symbol = symbol
        self._usual = max(2, round(price * 10**self.price_decimals))
        self._ticks = self._usual
        self._lots = max(1.0, _ORDER_VALUE / price * 10**self.size_decimals)
        move = _VOLATILITY * self._usual
        self._move_chance = min(0.3, move)
        self._move_ticks = move / self._move_chance
        self._selling = False
        self._next_id = 1_000_000 + int(self._random() * 1e9)

    def order(self, market: int) -> list[MadeTrade]:
        """Return the trades that the next taker's order makes.

        Args:
            market: the index to put into them.
        """
        draw = self._random
        if draw() < 0.4:
            self._selling = not self._selling
        if draw() < self._move_chance:
            self._move()
        trades = []
        while True:
            trades.append(self._trade(market))
            if draw() < 0.65 or len(trades) == 40:
                return trades
            if draw() < 0.3:
                self._ticks = max(1, self._ticks + (-1 if self._selling else 1))

    def _trade(self, market: int) -> MadeTrade:
        self._next_id += 1
        draw = self._random
        lots = 1 - int(self._lots * math.log(1 - draw()) * (15 if draw() < 0.02 else 1))
        price = _decimal_text(self._ticks, self.price_decimals)
        return MadeTrade(market, self._next_id, price, _decimal_text(lots, self.size_decimals), self._selling)

    def _move(self) -> None:
        away = (self._ticks - self._usual) / self._usual / _LEASH
        steps = 1 - int(self._move_ticks * math.log(1 - self._random()))
        self._ticks = max(1, self._ticks + (steps if self._random() > 0.5 + away / 2 else -steps))

    def _invent(self) -> tuple[float, int, int]:
        price = 10 ** (self._random() * 6 - 2)
        return price, 2 if price > 10 else 4, 1 if price > 10 else 0


class Flow:
    """The trades of many markets, as they follow each other, without end.

    Args:
        symbols: at least one; the first trade most.
        seed: the same symbols and seed give the same trades.
    """

    def __init__(self, symbols: Sequence[str], seed: int) -> None:
        self.markets = [Market(symbol, seed) for symbol in symbols]
        self._random = random.Random(seed).random  # noqa: S311  not for secrets
        self._shares = list(accumulate((rank + 3) ** -0.5 for rank in range(len(symbols))))

    def orders(self) -> Iterator[list[MadeTrade]]:
        """Yield the trades of one order after the other."""
        markets, shares, draw = self.markets, self._shares, self._random
        total, last = shares[-1], len(markets) - 1
        while True:
            chosen = min(last, bisect(shares, draw() * total))
            yield markets[chosen].order(chosen)


def name_symbols(count: int) -> list[str]:
    """Return so many symbols: the known ones first, then invented ones."""
    invented = (f"SBX{number:04}USDT" for number in range(1, count + 1))
    return [*KNOWN, *invented][:count]


def generate(symbols: Sequence[str], count: int, *, rate: float, seed: int, start_us: int = START_US) -> Tape:
    """Return a tape of generated trades.

    Args:
        symbols: as Binance writes them.
        count: how many trades.
        rate: trades a second, on average, by the tape's time; orders come at random moments.
        seed: the same arguments give the same tape.
        start_us: when the tape begins, microseconds since the epoch; times are whole milliseconds.
    """
    tape = Tape()
    flow = Flow(symbols, seed)
    ids = [SymbolId(VENUE, symbol) for symbol in symbols]
    streams = [trade_stream(symbol) for symbol in symbols]
    wait = random.Random(seed + 1).expovariate  # noqa: S311  not for secrets
    time_us = float(start_us)
    for order in flow.orders():
        due_us = int(time_us) // 1000 * 1000
        for made in order[: count - len(tape)]:
            text = encode_trade(
                symbols[made.market],
                made.trade_id,
                made.price,
                made.size,
                due_us,
                due_us,
                buyer_is_maker=made.buyer_is_maker,
            )
            tape.add(streams[made.market], text.encode(), due_us * 1000, due_us)
            tape.add_trade(
                ids[made.market], made.trade_id, due_us, made.price, buyer_is_maker=made.buyer_is_maker
            )
        if len(tape) == count:
            break
        time_us += wait(rate / 1e6) * len(order)
    for market in flow.markets:
        history = tape.histories.get(SymbolId(VENUE, market.symbol))
        if history is not None:
            history.price_decimals, history.size_decimals = market.price_decimals, market.size_decimals
    return tape


def _decimal_text(units: int, decimals: int) -> str:
    """Return so many units of the last place as Binance writes them: with eight decimal places."""
    if not decimals:
        return f"{units}.00000000"
    whole, rest = divmod(units, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}{'0' * (8 - decimals)}"
