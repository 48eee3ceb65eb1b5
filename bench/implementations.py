"""The implementations of the path from frames to candles and to stream entries, by name.

A new one is a line in `IMPLEMENTATIONS`: stages measure each, and refuse one whose candles differ.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from ingest.venues import binance
from tickplant import kernel, wire, wire_columns
from tickplant.columns import TradeColumns
from tickplant.market import Candle, Trade, fold_runs, merge
from tickplant.minute_candles import MinuteCandles

Frames = Sequence[bytes]
Candles = Mapping[tuple[str, int], Candle]
"""By symbol and open time."""
ColumnParser = Callable[[Sequence[bytes], int], tuple[list[TradeColumns], int]]

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
    for by_symbol in _objects(frames):
        for symbol, trades in by_symbol.items():
            for run in fold_runs(trades):
                known = candles.get((symbol, run.open_time_us))
                candles[symbol, run.open_time_us] = merge(known, run) if known else run
    return candles


def encode_objects(frames: Frames) -> int:
    """Encode by an object a trade, an entry a symbol."""
    return sum(
        len(wire.encode_trades(trades)) for by_symbol in _objects(frames) for trades in by_symbol.values()
    )


def fold_columns(frames: Frames, parse: ColumnParser, make_candles: Callable[[], MinuteCandles]) -> Candles:
    """Fold by columns."""
    symbols: defaultdict[str, MinuteCandles] = defaultdict(make_candles)
    for piece in _columns(frames, parse):
        for columns in piece:
            symbols[columns.symbol].add(columns)
    return {
        (candle.symbol, candle.open_time_us): candle
        for candles in symbols.values()
        for candle in candles.take()
    }


def encode_columns(
    frames: Frames, parse: ColumnParser, encode: Callable[[Sequence[TradeColumns]], bytes]
) -> int:
    """Encode by columns, all symbols of a piece in an entry."""
    return sum(len(encode(piece)) for piece in _columns(frames, parse))


def _objects(frames: Frames) -> Iterator[Mapping[str, list[Trade]]]:
    """Yield the trades of each piece by symbol."""
    parse = binance.BinanceAdapter.parse_frame
    for start in range(0, len(frames), PIECE):
        by_symbol: defaultdict[str, list[Trade]] = defaultdict(list)
        for frame in frames[start : start + PIECE]:
            parsed = parse(frame, 1)
            assert isinstance(parsed, tuple)
            for trade in parsed:
                by_symbol[trade.symbol].append(trade)
        yield by_symbol


def _columns(frames: Frames, parse: ColumnParser) -> Iterator[list[TradeColumns]]:
    """Yield the trades of each piece."""
    for start in range(0, len(frames), PIECE):
        piece = frames[start : start + PIECE]
        columns, consumed = parse(piece, 1)
        assert consumed == len(piece)
        yield columns


def _implementations() -> Iterator[tuple[str, Implementation]]:
    yield "objects", Implementation(fold_objects, encode_objects)
    yield "columns", _by_columns(binance.parse_frames_in_python, MinuteCandles, wire_columns.encode_columns)
    compiled = kernel.frame_parser(binance.BinanceAdapter.name)
    if compiled is not None:
        yield "kernel", _by_columns(compiled, kernel.make_minute_candles, kernel.encode_columns)


def _by_columns(
    parse: ColumnParser,
    make_candles: Callable[[], MinuteCandles],
    encode: Callable[[Sequence[TradeColumns]], bytes],
) -> Implementation:
    return Implementation(
        partial(fold_columns, parse=parse, make_candles=make_candles),
        partial(encode_columns, parse=parse, encode=encode),
    )


IMPLEMENTATIONS: Final[Mapping[str, Implementation]] = dict(_implementations())
"""By the name that the tables show; `kernel` where it was compiled."""
