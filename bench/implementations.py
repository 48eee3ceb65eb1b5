"""The implementations of the path from frames to candles and to stream entries, by name.

A new one is a line in `IMPLEMENTATIONS`: stages measure each, and refuse one whose candles differ.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ingest.venues.binance import BinanceAdapter
from tickplant import wire
from tickplant.market import Candle, Trade, fold_runs, merge

Frames = Sequence[bytes]
Candles = Mapping[tuple[str, int], Candle]
"""By symbol and open time."""

PIECE: Final = 500
"""Frames that are handled together, about as many as one read of a busy socket has."""


class Implementation(NamedTuple):
    """One way from frames to results; both functions take all frames of a measurement."""

    fold: Callable[[Frames], Candles]
    """Parse frames and fold their trades into candles of a minute."""
    encode: Callable[[Frames], int]
    """Parse frames and encode the entries of their symbols; return the bytes of all entries."""


def fold_objects(frames: Frames) -> Candles:
    """Fold by an object a trade."""
    candles: dict[tuple[str, int], Candle] = {}
    for by_symbol in _pieces(frames):
        for symbol, trades in by_symbol.items():
            for run in fold_runs(trades):
                known = candles.get((symbol, run.open_time_us))
                candles[symbol, run.open_time_us] = merge(known, run) if known else run
    return candles


def encode_objects(frames: Frames) -> int:
    """Encode by an object a trade."""
    return sum(
        len(wire.encode_trades(trades)) for by_symbol in _pieces(frames) for trades in by_symbol.values()
    )


def _pieces(frames: Frames) -> Iterator[Mapping[str, list[Trade]]]:
    """Yield the trades of each piece by symbol."""
    parse = BinanceAdapter.parse_frame
    for start in range(0, len(frames), PIECE):
        by_symbol: defaultdict[str, list[Trade]] = defaultdict(list)
        for frame in frames[start : start + PIECE]:
            parsed = parse(frame, 1)
            assert isinstance(parsed, tuple)
            for trade in parsed:
                by_symbol[trade.symbol].append(trade)
        yield by_symbol


IMPLEMENTATIONS: Final[Mapping[str, Implementation]] = {
    "objects": Implementation(fold_objects, encode_objects),
}
"""By the name that the tables show."""
