"""Metrics of what one feed receives."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from ingest.connection import SocketRead
from tickplant import metrics
from tickplant.market import Trade

SymbolClass = Literal["crypto", "forex", "stock"]

_FOREX: Final = ("FX", "FOREX", "OANDA", "IC MARKETS", "PEPPERSTONE")
"""How Finnhub's names of those begin who quote currencies; `OANDA:EUR_USD` is one of their symbols."""


def symbol_class(venue: str, symbol: str) -> SymbolClass:
    """Return what kind of thing a symbol is; only Finnhub has others than crypto."""
    if venue != "finnhub":
        return "crypto"
    source, colon, _ = symbol.partition(":")
    if not colon:
        return "stock"
    return "forex" if source.startswith(_FOREX) else "crypto"


class IntakeMetrics:
    """What this process exposes of the frames and trades of some symbols of one venue."""

    def __init__(self, venue: str, symbols: Sequence[str]) -> None:
        """Begin at zero, so that what has not happened is not taken for what is not measured."""
        self._class_of = {symbol: symbol_class(venue, symbol) for symbol in symbols}
        self._trades = {
            name: metrics.INGEST_TRADES.labels(venue, name) for name in set(self._class_of.values())
        }
        self._frames = metrics.INGEST_FRAMES.labels(venue)
        self._delay = metrics.INGEST_VENUE_DELAY_S.labels(venue)
        self.malformed = metrics.INGEST_MALFORMED.labels(venue)
        """Counts frames, and rows of them, that could not be understood."""
        self.doubted_times = metrics.INGEST_DOUBTED_TIMES.labels(venue)
        """Counts trades and heartbeats whose time is not believed."""

    def note_reads(self, reads: Sequence[SocketRead]) -> None:
        """Note what came out of a connection."""
        self._frames.inc(sum([len(received.frames) for received in reads]))

    def note_trades(self, trades: Sequence[Trade]) -> None:
        """Note a batch of symbols that were asked for."""
        if not trades:
            return
        if len(self._trades) == 1:
            for counter in self._trades.values():
                counter.inc(len(trades))
        else:
            for name, count in Counter([self._class_of[trade.symbol] for trade in trades]).items():
                self._trades[name].inc(count)
        first = trades[0]
        self._delay.observe(max(0, first.ingest_time_us - first.event_time_us) / 1e6)
