"""Generated trades without end, in real time: each is stamped at the moment at which it is sent."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from sandbox.audience import Audience
from sandbox.frames import View, encode_frame
from sandbox.generator import START_US, Flow
from sandbox.history import History, Past
from sandbox.source import Provenance, State, Status, SymbolStatus, SymbolTape
from sandbox.venue import Fit, MadeTrade, Venue, streams_of
from tickplant.market import SymbolId, Trade

_TICK_S: Final = 0.001
_MAX_BURST: Final = 2_000
"""Trades sent together at most, when the process was kept from running for a while."""
_REMEMBERED: Final = 400_000
"""Trades of all symbols together that REST can tell of."""
_AHEAD: Final = 1.25
"""How much faster the first ids rise with the clock than trades come: more than chance makes up for."""


class _Market:
    """One symbol: its name, and the trades sent so far that are remembered."""

    def __init__(self, symbol: SymbolId, remembered: int, decimals: tuple[int, int]) -> None:
        self.id = symbol
        self.history = History(symbol, self._read)
        self.history.price_decimals, self.history.size_decimals = decimals
        self.sent = 0
        self._rows: list[MadeTrade] = []
        self._remembered = remembered

    def note(self, made: MadeTrade, time_us: int) -> None:
        """Remember a trade that is being sent."""
        self.history.append(made.trade_id, time_us, made.price, made.side)
        self._rows.append(made)
        self.sent += 1
        if len(self._rows) >= 2 * self._remembered:
            self.history.trim(self._remembered)
            del self._rows[: self._remembered]

    def _read(self, index: int) -> Trade:
        made, time_us = self._rows[index], self.history.times_us[index]
        return Trade(*self.id, made.trade_id, made.price, made.size, made.side, time_us, time_us)


class Live:
    """Markets that trade for as long as they are served.

    Args:
        venue: where they are.
        symbols: as it writes them.
        rate: trades a second, all symbols together, evenly.
        seed: the same symbols and seed give the same trades, but for their times and ids. Ids begin beyond
            those of an earlier start with the same symbols and rate, as if trading had gone on meanwhile.
        hold: wait until each symbol has a listener.
        clock_us: the venue's time.
    """

    def __init__(
        self,
        venue: Venue,
        symbols: Sequence[str],
        *,
        rate: float,
        seed: int,
        clock_us: Callable[[], int],
        hold: bool = False,
    ) -> None:
        flow = Flow(venue, symbols, seed)
        flow.skip(max(0, clock_us() - START_US) / 1e6 * rate * _AHEAD)
        self.venue = venue
        self._orders = flow.orders()
        share = max(1000, _REMEMBERED // 2 // len(symbols))
        self._markets = [
            _Market(SymbolId(venue.name, market.symbol), share, (market.price_decimals, market.size_decimals))
            for market in flow.markets
        ]
        self._rest: list[MadeTrade] = []
        self._by_symbol = {market.id: market for market in self._markets}
        self._rate = rate
        self._hold = hold
        self._state: State = "waiting"
        self.now_us = clock_us

    @property
    def provenance(self) -> Provenance:
        """Say that all trades are generated."""
        return "synthetic"

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
            str(market.id): SymbolStatus(
                market.sent, market.history.highest_id if self.venue.numbered else None, market.sent
            )
            for market in self._markets
        }
        return Status(self._state, sum(market.sent for market in self._markets), None, symbols)

    def tape(self) -> dict[str, SymbolTape]:
        """Return nothing: there is no end."""
        return {}

    async def run(self, audience: Audience) -> None:
        """Trade, without end."""
        if self._hold:
            await audience.until(lambda: audience.hears(streams_of(self.venue, self.symbols)))
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
        """Make so many trades, and send each order's as the venue does: in one frame, or in one each."""
        time_us = self.now_us()
        frames: list[tuple[str, bytes]] = []
        for order in self._take(count):
            market = self._markets[order[0].market]
            for made in order:
                market.note(made, time_us)
            stream = self.venue.stream_of(market.id.symbol)
            frames += [(stream, text) for text in self.venue.encode_order(market.id.symbol, order, time_us)]
        for view in audience.groups:
            audience.send(view, b"".join(self._encode(frames, view)))

    def _take(self, count: int) -> Iterator[list[MadeTrade]]:
        """Yield orders with so many trades in all; what one has more comes first the next time."""
        while count > 0:
            order = self._rest or next(self._orders)
            self._rest = order[count:]
            yield order[:count]
            count -= len(order)

    def _encode(self, frames: list[tuple[str, bytes]], view: View) -> Iterator[bytes]:
        fits: dict[str, Fit] = {}
        for stream, text in frames:
            fit = fits.get(stream)
            if fit is None:
                fit = fits[stream] = self.venue.fit(stream, view)
            if fit is Fit.AS_IT_LIES:
                yield encode_frame(text)
            elif fit is Fit.STYLED:
                yield encode_frame(self.venue.style(text, stream, view))
