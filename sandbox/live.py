"""Generated trades without end, in real time: each is stamped at the moment at which it is sent."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import chain, islice
from typing import Final

from sandbox.audience import Audience
from sandbox.binance.frames import VENUE, encode_trade, envelope, trade_stream
from sandbox.frames import View, encode_frame
from sandbox.generator import Flow, MadeTrade
from sandbox.history import History, Past
from sandbox.source import State, Status, SymbolStatus
from sandbox.tape import streams_of_symbols
from tickplant.market import Side, SymbolId, Trade

_TICK_S: Final = 0.001
_MAX_BURST: Final = 2_000
"""Trades sent together at most, when the process was kept from running for a while."""
_REMEMBERED: Final = 400_000
"""Trades of all symbols together that REST can tell of."""


class _Market:
    """One symbol: its names, and the trades sent so far that are remembered."""

    def __init__(self, symbol: str, remembered: int, decimals: tuple[int, int]) -> None:
        self.id = SymbolId(VENUE, symbol)
        self.stream = trade_stream(symbol)
        self.envelope = envelope(self.stream).decode()
        self.history = History(self.id, self._read)
        self.history.price_decimals, self.history.size_decimals = decimals
        self.sent = 0
        self._rows: list[MadeTrade] = []
        self._remembered = remembered

    def note(self, made: MadeTrade, time_us: int) -> None:
        """Remember a trade that is being sent."""
        self.history.append(made.trade_id, time_us, made.price, buyer_is_maker=made.buyer_is_maker)
        self._rows.append(made)
        self.sent += 1
        if len(self._rows) >= 2 * self._remembered:
            self.history.trim(self._remembered)
            del self._rows[: self._remembered]

    def _read(self, index: int) -> Trade:
        made, time_us = self._rows[index], self.history.times_us[index]
        side: Side = "sell" if made.buyer_is_maker else "buy"
        return Trade(*self.id, made.trade_id, made.price, made.size, side, time_us, time_us)


class Live:
    """Markets that trade for as long as they are served.

    Args:
        symbols: as Binance writes them.
        rate: trades a second, all symbols together, evenly.
        seed: the same symbols and seed give the same trades, but for their times.
        hold: wait until each symbol has a listener.
        clock_us: the venue's time.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        rate: float,
        seed: int,
        clock_us: Callable[[], int],
        hold: bool = False,
    ) -> None:
        flow = Flow(symbols, seed)
        self._made = chain.from_iterable(flow.orders())
        share = max(1000, _REMEMBERED // 2 // len(symbols))
        self._markets = [
            _Market(market.symbol, share, (market.price_decimals, market.size_decimals))
            for market in flow.markets
        ]
        self._by_symbol = {market.id: market for market in self._markets}
        self._rate = rate
        self._hold = hold
        self._state: State = "waiting"
        self.now_us = clock_us

    @property
    def symbols(self) -> Collection[SymbolId]:
        """The symbols that trade."""
        return self._by_symbol.keys()

    def past(self, symbol: SymbolId) -> Past:
        """Return a symbol's trades that are remembered."""
        history = self._by_symbol[symbol].history
        return Past(history, len(history))

    def status(self) -> Status:
        """Say how many trades were sent."""
        symbols = {
            str(market.id): SymbolStatus(market.sent, market.history.highest_id, market.sent)
            for market in self._markets
        }
        return Status(self._state, sum(market.sent for market in self._markets), None, symbols)

    async def run(self, audience: Audience) -> None:
        """Trade, without end."""
        if self._hold:
            await audience.until(lambda: audience.hears(streams_of_symbols(self.symbols)))
        self._state = "playing"
        clock_s = asyncio.get_running_loop().time
        started_s, sent = clock_s(), 0
        while True:
            count = min(int((clock_s() - started_s) * self._rate) - sent, _MAX_BURST)
            if count > 0:
                sent += count
                self._trade(audience, count)
                audience.drop_laggards()
            next_s = (sent + 1) / self._rate - (clock_s() - started_s)
            await asyncio.sleep(max(_TICK_S, next_s))

    def _trade(self, audience: Audience, count: int) -> None:
        time_us = self.now_us()
        trades = [(self._markets[made.market], made) for made in islice(self._made, count)]
        for market, made in trades:
            market.note(made, time_us)
        for view in audience.groups:
            frames = [
                _encode(market, made, time_us, view)
                for market, made in trades
                if market.stream in view.streams
            ]
            audience.send(view, b"".join(frames))


def _encode(market: _Market, made: MadeTrade, time_us: int, view: View) -> bytes:
    time = time_us if view.micro else time_us // 1000
    text = encode_trade(
        market.id.symbol, made.trade_id, made.price, made.size, time, time, buyer_is_maker=made.buyer_is_maker
    )
    return encode_frame((f"{market.envelope}{text}}}" if view.combined else text).encode())
