"""The truth to compare with: candles computed from recorded frames, plainly and without tickplant's code."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

LENGTH_S = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400, "1w": 604800}
MONDAY_S = 4 * 86400


def binance_frames(folder: Path, *symbols: str) -> Iterator[bytes]:
    """Yield the recorded frames of the symbols, file by file, without their receive times."""
    for symbol in symbols:
        for path in sorted(folder.glob(f"{symbol.lower()}_*.gz")):
            with gzip.open(path) as lines:
                for line in lines:
                    yield line.split(b" ", 1)[1].rstrip()


def binance_trades(frames: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the payloads of the trade frames."""
    return [json.loads(frame)["data"] for frame in frames if b'"e":"trade"' in frame]


def candles(trades: Iterable[dict[str, Any]]) -> dict[tuple[str, str, int], tuple[Any, ...]]:
    """Return (symbol, interval, open time in s) -> (prices, sums, count, first and last id)."""
    buckets = defaultdict(list)
    for trade in trades:
        second = trade["T"] // 1000
        for interval, length in LENGTH_S.items():
            offset = MONDAY_S if interval == "1w" else 0
            buckets[trade["s"], interval, (second - offset) // length * length + offset].append(trade)
    return {key: _candle(members) for key, members in buckets.items()}


def _candle(trades: list[dict[str, Any]]) -> tuple[Any, ...]:
    with localcontext() as context:
        context.prec = 300
        trades = sorted(trades, key=lambda trade: (trade["T"], trade["t"]))
        prices = [Decimal(trade["p"]) for trade in trades]
        sizes = [Decimal(trade["q"]) for trade in trades]
        bought = [0 if trade["m"] else size for trade, size in zip(trades, sizes, strict=True)]
        return (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(sizes),
            sum(price * size for price, size in zip(prices, sizes, strict=True)),
            sum(bought),
            sum(price * size for price, size in zip(prices, bought, strict=True)),
            len(trades),
            trades[0]["t"],
            trades[-1]["t"],
        )
