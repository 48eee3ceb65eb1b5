"""Generates synthetic markets: deterministic by seed, with plausible prices, sizes, bursts and rising ids.

Nothing here is a claim about real markets. A taker's order makes one trade or several at one moment, each at
the same price or a tick worse; prices wander and are drawn back, so that they stay plausible for ever.
"""

import math
import random
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

from sandbox.binance.venue import KNOWN, SandboxBinance
from sandbox.journal import MarketState
from sandbox.tape import Tape
from sandbox.venue import ParsedFrame, SandboxVenue, SyntheticTrade, TypicalTrade
from tickplant.market import Side, SymbolId, Trade

START_US: Final = 1_767_225_600_000_000
"""When a generated tape starts: 2026-01-01."""

_ORDER_VALUE: Final = 400
"""Of a usual trade, in units of the quote currency."""
_VOLATILITY: Final = 4e-6
"""How far an order moves the price, on average, as a share of it."""
_LEASH: Final = 0.05
"""How far the price may wander from where it began before it is surely drawn back."""


class SyntheticMarket:
    """One symbol's order flow.

    Args:
        venue: where it trades.
        symbol: as the venue writes it.
        seed: the same seed gives the same trades, whichever other symbols there are.
    """

    def __init__(self, venue: SandboxVenue, symbol: str, seed: int) -> None:
        self._random = random.Random(f"{seed}:{symbol}").random  # noqa: S311  not for secrets
        price, self.price_decimals, self.size_decimals = venue.usual(symbol) or self._invent()
        self._places = venue.places
        self.symbol = symbol
        self._usual = max(2, round(price * 10**self.price_decimals))
        self._ticks = self._usual
        self._lots = max(1.0, _ORDER_VALUE / price * 10**self.size_decimals)
        move = _VOLATILITY * self._usual
        self._move_chance = min(0.3, move)
        self._move_ticks = move / self._move_chance
        self._selling = False
        self._next_id = 1_000_000 + int(self._random() * 1e9)

    def skip(self, count: int) -> None:
        """Leave out so many ids."""
        self._next_id += count

    @property
    def state(self) -> MarketState:
        """Its state between two orders."""
        return MarketState(self._ticks, self._next_id)

    def take_back(self, count: int) -> None:
        """Release the last ids, of trades that were generated and not used."""
        self._next_id -= count

    def resume(self, state: MarketState, seed: str) -> None:
        """Continue from a saved state; what follows depends on the seed alone."""
        self._ticks, self._next_id = state.ticks, state.next_id
        self._selling = False
        self._random = random.Random(f"{seed}:{self.symbol}").random  # noqa: S311  not for secrets

    def order(self, market: int) -> list[SyntheticTrade]:
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

    def _trade(self, market: int) -> SyntheticTrade:
        self._next_id += 1
        draw = self._random
        lots = 1 - int(self._lots * math.log(1 - draw()) * (15 if draw() < 0.02 else 1))
        price = decimal_text(self._ticks, self.price_decimals, self._places)
        size = decimal_text(lots, self.size_decimals, self._places)
        side: Side = "sell" if self._selling else "buy"
        return SyntheticTrade(market, self._next_id, price, size, side)

    def _move(self) -> None:
        away = (self._ticks - self._usual) / self._usual / _LEASH
        steps = 1 - int(self._move_ticks * math.log(1 - self._random()))
        self._ticks = max(1, self._ticks + (steps if self._random() > 0.5 + away / 2 else -steps))

    def _invent(self) -> TypicalTrade:
        price = 10 ** (self._random() * 6 - 2)
        return TypicalTrade(price, 2 if price > 10 else 4, 1 if price > 10 else 0)


class OrderFlow:
    """The trades of many markets, as they follow each other, without end.

    Args:
        venue: where they trade.
        symbols: at least one; the first trade most.
        seed: the same symbols and seed give the same trades.
    """

    def __init__(self, venue: SandboxVenue, symbols: Sequence[str], seed: int) -> None:
        self.markets = [SyntheticMarket(venue, symbol, seed) for symbol in symbols]
        self._random = random.Random(seed).random  # noqa: S311  not for secrets
        self._shares = list(accumulate((rank + 3) ** -0.5 for rank in range(len(symbols))))

    def resume(self, states: Mapping[str, MarketState], seed: str) -> None:
        """Continue from a saved state; what follows depends on the seed alone."""
        self._random = random.Random(seed).random  # noqa: S311  not for secrets
        for market in self.markets:
            market.resume(states.get(market.symbol, market.state), seed)

    def skip(self, count: float) -> None:
        """Leave out so many ids in all, of each market as many as it would have used."""
        for market, (low, high) in zip(self.markets, pairwise([0.0, *self._shares]), strict=True):
            market.skip(int(count * (high - low) / self._shares[-1]))

    def orders(self) -> Iterator[list[SyntheticTrade]]:
        """Yield the trades of one order after the other."""
        markets, shares, draw = self.markets, self._shares, self._random
        total, last = shares[-1], len(markets) - 1
        while True:
            chosen = min(last, bisect(shares, draw() * total))
            yield markets[chosen].order(chosen)


def name_symbols(count: int) -> list[str]:
    """Return so many of Binance's symbols: the known ones first, then invented ones."""
    invented = (f"SBX{number:04}USDT" for number in range(1, count + 1))
    return [*KNOWN, *invented][:count]


def generate(
    symbols: Sequence[str],
    count: int,
    *,
    rate: float,
    seed: int,
    venue: SandboxVenue | None = None,
    start_us: int = START_US,
) -> Tape:
    """Return a tape of generated trades.

    Args:
        symbols: as the venue writes them.
        count: how many trades.
        rate: trades a second, on average, by the tape's time; orders come at random moments.
        seed: the same arguments give the same tape.
        venue: where they trade; by default Binance.
        start_us: when the tape starts, microseconds since the epoch; times are whole milliseconds.
    """
    venue = venue or SandboxBinance()
    tape = Tape(venue, provenance="synthetic")
    flow = OrderFlow(venue, symbols, seed)
    wait = random.Random(seed + 1).expovariate  # noqa: S311  not for secrets
    time_us = float(start_us)
    left = count
    for order in flow.orders():
        due_us = int(time_us) // 1000 * 1000
        for frame in _frames(venue, symbols[order[0].market], order[:left], due_us):
            tape.add(frame, due_us * 1000)
        left -= len(order)
        if left <= 0:
            break
        time_us += wait(rate / 1e6) * len(order)
    for market in flow.markets:
        columns = tape.columns.get(SymbolId(venue.name, market.symbol))
        if columns is not None:
            columns.price_decimals, columns.size_decimals = market.price_decimals, market.size_decimals
    return tape


def _frames(
    venue: SandboxVenue, symbol: str, order: Sequence[SyntheticTrade], time_us: int
) -> Iterator[ParsedFrame]:
    """Yield the frames of one order: a venue sends its trades one by one, or all in one."""
    texts = venue.encode_order(symbol, order, time_us)
    stream = venue.stream_of(symbol)
    trades = tuple(
        Trade(venue.name, symbol, made.trade_id, made.price, made.size, made.side, time_us, time_us)
        for made in order
    )
    share = len(trades) // len(texts)
    for number, text in enumerate(texts):
        yield ParsedFrame(stream, text, time_us, trades[number * share : (number + 1) * share])


def decimal_text(units: int, decimals: int, places: int) -> str:
    """Return so many units of the last place as a venue writes them.

    Args:
        units: how many.
        decimals: how many decimal places the last place has.
        places: write at least so many, or else as few as the number needs.
    """
    whole, rest = divmod(units, 10**decimals) if decimals else (units, 0)
    if places:
        return (
            f"{whole}.{rest:0{decimals}d}{'0' * (places - decimals)}"
            if decimals
            else f"{whole}.{'0' * places}"
        )
    return f"{whole}.{rest:0{decimals}d}".rstrip("0") if rest else str(whole)
