"""Metrics of received frames and trades."""

from collections.abc import Sequence
from typing import Final, Literal

from ingest.connection import SocketRead
from tickplant import metrics
from tickplant.kernel import TradeColumns

SymbolClass = Literal["crypto", "forex", "stock"]

_FOREX: Final = ("FX", "FOREX", "OANDA", "IC MARKETS", "PEPPERSTONE")
"""Prefixes of Finnhub's sources of currency rates, as in `OANDA:EUR_USD`."""


def symbol_class(venue: str, symbol: str) -> SymbolClass:
    """Return the asset class of a symbol; only Finnhub has others than crypto."""
    if venue != "finnhub":
        return "crypto"
    source, colon, _ = symbol.partition(":")
    if not colon:
        return "stock"
    return "forex" if source.startswith(_FOREX) else "crypto"


class IntakeMetrics:
    """Metrics of the frames and trades of some symbols of one venue."""

    def __init__(self, venue: str, symbols: Sequence[str]) -> None:
        """Create all counters at zero, so that dashboards distinguish zero from not measured."""
        self._class_of = {symbol: symbol_class(venue, symbol) for symbol in symbols}
        self._trades = {
            name: metrics.INGEST_TRADES.labels(venue, name) for name in set(self._class_of.values())
        }
        self._frames = metrics.INGEST_FRAMES.labels(venue)
        self._delay = metrics.INGEST_VENUE_DELAY_S.labels(venue)
        self.malformed = metrics.INGEST_MALFORMED.labels(venue)
        """Counts frames, and rows of frames, that could not be parsed."""
        self.doubted_times = metrics.INGEST_DOUBTED_TIMES.labels(venue)
        """Counts trades and heartbeats with implausible times."""

    def note_reads(self, reads: Sequence[SocketRead]) -> None:
        """Count the frames that a connection received."""
        self._frames.inc(sum([len(received.frames) for received in reads]))

    def note_trades(self, trades: Sequence[TradeColumns]) -> None:
        """Count a batch of trades, at least one, and observe its delay."""
        for part in trades:
            self._trades[self._class_of[part.symbol]].inc(len(part))
        first = trades[0].trade(0)
        self._delay.observe(max(0, first.ingest_time_us - first.event_time_us) / 1e6)
