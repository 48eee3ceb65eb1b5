"""The implementations that the benchmark compares give the same candles, on frames like a venue's."""

import asyncio
from pathlib import Path

from bench.frames import FrameFiles, read_frames
from bench.implementations import IMPLEMENTATIONS
from bench.in_memory import measure
from bench.prefill import parse_frames
from tickplant.market import fold


def test_every_implementation_folds_to_the_plants_own_candles(tmp_path: Path) -> None:
    frames = read_frames(asyncio.run(FrameFiles(tmp_path).get(1_200, 3, 10)))
    by_symbol: dict[str, list[object]] = {}
    for trade in parse_frames(frames):
        by_symbol.setdefault(trade.symbol, []).append(trade)
    expected = {
        (symbol, candle.open_time_us): candle
        for symbol, trades in by_symbol.items()
        for candle in fold(trades)  # type: ignore[arg-type]
    }
    assert len(expected) > 3
    for implementation in IMPLEMENTATIONS.values():
        assert implementation.fold(frames) == expected


def test_every_implementation_is_measured(tmp_path: Path) -> None:
    rates = measure(read_frames(asyncio.run(FrameFiles(tmp_path).get(300, 2))))
    assert rates.fold.keys() == rates.encode.keys() == IMPLEMENTATIONS.keys()
    assert min(*rates.fold.values(), *rates.encode.values(), rates.decode) > 0
