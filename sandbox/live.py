"""Generated trades without end, in real time: each is stamped at the moment at which it is sent."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from sandbox.audience import SandboxAudience
from sandbox.frames import View, encode_frame
from sandbox.generator import START_US, OrderFlow
from sandbox.history import SandboxHistory, TapeColumns
from sandbox.journal import Journal, TradingRun
from sandbox.source import Provenance, SourceStatus, State, SymbolStatus, SymbolTape
from sandbox.venue import SandboxVenue, SyntheticTrade, ViewFit, streams_of
from tickplant.market import SymbolId, Trade

_TICK_S: Final = 0.001
_MAX_BURST: Final = 2_000
"""Trades sent together at most, when the process was kept from running for a while."""
_MAX_TRADES: Final = 400_000
"""Trades of all symbols together that REST can serve."""
_ID_HEADROOM: Final = 1.25
"""How much faster the first ids rise with the clock than trades come: more than chance makes up for."""
_RUN_S: Final = 10
"""How long a run in the journal lasts."""
_PAUSE_US: Final = 1_000_000
"""After a longer pause of the process, trading continues at the present time, without catching up."""
MIN_JOURNALED: Final = _MAX_TRADES // 4
"""How many trades a journal has to keep."""

_Order = tuple[int, SymbolId, list[SyntheticTrade]]
"""When it is due, of which symbol, and its trades."""


class _LiveSymbol:
    """One symbol: its name, and the most recent trades sent."""

    def __init__(self, symbol: SymbolId, max_trades: int, decimals: tuple[int, int]) -> None:
        self.id = symbol
        self.columns = TapeColumns(symbol, self._read)
        self.columns.price_decimals, self.columns.size_decimals = decimals
        self.sent = 0
        self._rows: list[SyntheticTrade] = []
        self._max_trades = max_trades

    def note(self, made: SyntheticTrade, time_us: int) -> None:
        """Add a trade to the history."""
        self.columns.append(made.trade_id, time_us, made.price, made.side)
        self._rows.append(made)
        if len(self._rows) >= 2 * self._max_trades:
            self.columns.trim(self._max_trades)
            del self._rows[: self._max_trades]

    def _read(self, index: int) -> Trade:
        made, time_us = self._rows[index], self.columns.times_us[index]
        return Trade(*self.id, made.trade_id, made.price, made.size, made.side, time_us, time_us)


class LiveSource:
    """Markets that trade for as long as they are served.

    Args:
        venue: where they are.
        symbols: as it writes them.
        rate: trades a second, all symbols together, evenly.
        seed: the same symbols and seed give the same trades, but for their times and ids. Ids start beyond
            those of an earlier start with the same symbols and rate, as if trading had gone on meanwhile.
        hold: wait until each symbol has a listener.
        clock_us: the venue's time.
        journal: where an earlier start has left its markets: they go on with the next id at the last price,
            and REST serves their history. None: nothing is kept.
    """

    def __init__(
        self,
        venue: SandboxVenue,
        symbols: Sequence[str],
        *,
        rate: float,
        seed: int,
        clock_us: Callable[[], int],
        hold: bool = False,
        journal: Journal | None = None,
    ) -> None:
        flow = OrderFlow(venue, symbols, seed)
        flow.skip(max(0, clock_us() - START_US) / 1e6 * rate * _ID_HEADROOM)
        self.venue = venue
        share = max(1000, _MAX_TRADES // 2 // len(symbols))
        self._markets = [
            _LiveSymbol(
                SymbolId(venue.name, market.symbol), share, (market.price_decimals, market.size_decimals)
            )
            for market in flow.markets
        ]
        self._by_symbol = {market.id: market for market in self._markets}
        self._symbols = tuple(symbols)
        self._rate = rate
        self._seed = seed
        self._hold = hold
        self._journal = journal
        self._states = {market.symbol: market.state for market in flow.markets}
        self._end_us = 0
        """When the last run has ended."""
        self._state: State = "waiting"
        self.now_us = clock_us

    @property
    def provenance(self) -> Provenance:
        """Return `synthetic`: all trades are generated."""
        return "synthetic"

    @property
    def symbols(self) -> Collection[SymbolId]:
        """The symbols that trade."""
        return self._by_symbol.keys()

    def history(self, symbol: SymbolId) -> SandboxHistory:
        """Return the most recent trades of a symbol."""
        columns = self._by_symbol[symbol].columns
        return SandboxHistory(columns, len(columns))

    def status(self) -> SourceStatus:
        """Return how many trades were sent."""
        symbols = {
            str(market.id): SymbolStatus(
                market.sent, market.columns.highest_id if self.venue.numbered else None, market.sent
            )
            for market in self._markets
        }
        return SourceStatus(self._state, sum(market.sent for market in self._markets), None, symbols)

    def tape(self) -> dict[str, SymbolTape]:
        """Return nothing: there is no end."""
        return {}

    async def run(self, audience: SandboxAudience) -> None:
        """Send generated trades without end."""
        restored_us = self.now_us()
        run = await self._restore(restored_us)
        if self._hold:
            await audience.until(lambda: audience.covers(streams_of(self.venue, self.symbols)))
        self._state = "playing"
        if run is not None:
            await self._play(audience, run, after_us=restored_us)
        while True:
            await self._play(audience, self._start_run())

    async def _restore(self, now_us: int) -> TradingRun | None:
        """Regenerate the history of the markets: the trades of an earlier start that were due by now.

        Returns:
            The last run, if some of its trades are not yet due.
        """
        runs = self._journal.read() if self._journal is not None else []
        if self._journal is not None and self._journal.has_dropped(runs):
            for market in self._markets:
                market.columns.whole_from_us = runs[0].start_us
        for run in runs:
            for due_us, symbol, order in self._orders(run):
                if due_us > now_us >= run.start_us:
                    return run
                self._note(symbol, order, due_us)
            if run.start_us > now_us:
                self._end_us = 0  # the clock went back: don't wait for that time to come again
            await asyncio.sleep(0)
        return None

    def _start_run(self) -> TradingRun:
        """Start the next run, where the last one has ended or, after a pause, now."""
        now_us = self.now_us()
        start_us = self._end_us if now_us - self._end_us < _PAUSE_US else now_us
        endless = self._journal is None
        run = TradingRun(
            seed=str(self._seed) if endless else f"{self._seed}:{start_us}",
            symbols=self._symbols,
            rate=self._rate,
            start_us=start_us,
            count=None if endless else max(1, int(self._rate * _RUN_S)),
            markets=dict(self._states),
        )
        if self._journal is not None:
            self._journal.write_start(run)
        return run

    def _orders(self, run: TradingRun) -> Iterator[_Order]:
        """Yield a run's orders with the times at which they are due; at the end note where it has led."""
        flow = OrderFlow(self.venue, run.symbols, self._seed)
        flow.resume(run.markets, run.seed)
        number = 0
        for order in flow.orders():
            due_us = run.due_us(number)
            taken = order if run.count is None else order[: run.count - number]
            if taken:
                yield due_us, SymbolId(self.venue.name, run.symbols[order[0].market]), taken
            number += len(taken)
            if number == run.count:
                # Of an order that was cut short, the other trades never were.
                flow.markets[order[0].market].take_back(len(order) - len(taken))
                break
        self._end_us = run.end_us
        self._states |= run.markets
        self._states |= {market.symbol: market.state for market in flow.markets}

    async def _play(self, audience: SandboxAudience, run: TradingRun, *, after_us: int = 0) -> None:
        """Send the trades of a run when they are due, but for those that were due up to some time."""
        loop_s = asyncio.get_running_loop().time
        base_us, base_s = self.now_us(), loop_s()
        sent, together = 0, 0
        orders: list[_Order] = []
        try:
            for order in self._orders(run):
                due_us, _, trades = order
                if due_us > after_us:
                    ahead_s = (due_us - base_us) / 1e6 - (loop_s() - base_s)
                    if ahead_s > 0 or together >= _MAX_BURST:
                        self._send(audience, orders)
                        orders, together = [], 0
                        await asyncio.sleep(max(_TICK_S, ahead_s))
                    orders.append(order)
                    together += len(trades)
                sent += len(trades)
            self._send(audience, orders)
        except asyncio.CancelledError:
            if self._journal is not None:
                self._journal.write_end(sent)
            raise

    def _send(self, audience: SandboxAudience, orders: Sequence[_Order]) -> None:
        """Send each order's trades as the venue does: in one frame, or in one each."""
        frames: list[tuple[str, bytes]] = []
        for due_us, symbol, order in orders:
            market = self._by_symbol.get(symbol)
            if market is not None:
                self._note(symbol, order, due_us)
                market.sent += len(order)
                stream = self.venue.stream_of(symbol.symbol)
                texts = self.venue.encode_order(symbol.symbol, order, due_us)
                frames += [(stream, text) for text in texts]
        for view in audience.groups:
            audience.send(view, b"".join(self._encode(frames, view)))
        audience.drop_laggards()

    def _note(self, symbol: SymbolId, order: Sequence[SyntheticTrade], due_us: int) -> None:
        """Remember trades that have happened."""
        market = self._by_symbol.get(symbol)
        if market is not None:  # else it was traded by an earlier start only
            for made in order:
                market.note(made, due_us)

    def _encode(self, frames: list[tuple[str, bytes]], view: View) -> Iterator[bytes]:
        fits: dict[str, ViewFit] = {}
        for stream, text in frames:
            fit = fits.get(stream)
            if fit is None:
                fit = fits[stream] = self.venue.fit(stream, view)
            if fit is ViewFit.AS_IT_LIES:
                yield encode_frame(text)
            elif fit is ViewFit.STYLED:
                yield encode_frame(self.venue.style(text, stream, view))
