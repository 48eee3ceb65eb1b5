"""Stage `fold`: frames in memory to exact candles, on one core and without I/O."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from bench.market import make_frames
from bench.result import MeasuredRate, Result, Throughput
from ingest.venues.binance import BinanceAdapter
from tickplant.market import Candle, Trade, fold_runs, merge

AIM_PER_S: Final = 1_000_000
_BATCH: Final = 500
_REPEATS: Final = 3


class _Payload(Struct, gc=False):
    e: str
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Envelope(Struct, gc=False):
    data: _Payload


def measure_fold(count: int) -> list[Result]:
    """Measure parsing and folding beside decoding alone."""
    return [_measure(count, 1, "one symbol"), _measure(count, 100, "100 symbols")]


def _measure(count: int, symbols: int, what: str) -> Throughput:
    frames = make_frames(count, symbols)
    folded = best_rate(count, lambda: fold_frames(frames))
    return Throughput(
        f"frame to exact candle, {what}, one core",
        MeasuredRate("parse and fold", folded),
        (MeasuredRate("bare decode (msgspec)", best_rate(count, lambda: decode_frames(frames))),),
        aim_per_s=AIM_PER_S,
    )


def decode_frames(frames: Sequence[bytes]) -> None:
    """Decode and drop."""
    decode = msgspec.json.Decoder(_Envelope).decode
    for frame in frames:
        decode(frame)


def fold_frames(frames: Sequence[bytes]) -> dict[tuple[str, int], Candle]:
    """Parse frames and fold their trades into candles of a minute, batch by batch as workers do."""
    candles: dict[tuple[str, int], Candle] = {}
    parse = BinanceAdapter.parse_frame
    for start in range(0, len(frames), _BATCH):
        by_symbol: defaultdict[str, list[Trade]] = defaultdict(list)
        for frame in frames[start : start + _BATCH]:
            parsed = parse(frame, 1)
            assert isinstance(parsed, tuple)
            for trade in parsed:
                by_symbol[trade.symbol].append(trade)
        for symbol, trades in by_symbol.items():
            for run in fold_runs(trades):
                known = candles.get((symbol, run.open_time_us))
                candles[symbol, run.open_time_us] = merge(known, run) if known else run
    return candles


def best_rate(count: int, work: Callable[[], object]) -> float:
    """Return how often a second, at best, something is done that is done `count` times a call."""
    best_s = float("inf")
    for _ in range(_REPEATS):
        started_s = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - started_s)
    return count / best_s
