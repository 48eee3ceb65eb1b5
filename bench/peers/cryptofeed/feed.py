"""Measures cryptofeed's Binance feed on frames from a file, without a network.

cryptofeed subscribes to aggregated trades, so frames get the two names that differ in those before anything
is measured. Its message handler parses each frame and calls back with a trade, which is folded into candles
of a minute by `Decimal`, as cryptofeed's own `OHLCV` aggregation does it.

Usage: python feed.py FILE, in an environment with cryptofeed. Prints the best of three passes as JSON.
"""

import asyncio
import json
import re
import sys
import time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptofeed.defines import BINANCE, TRADES
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbols

PASSES = 3
_SYMBOL = re.compile(r'"s":"([A-Z0-9]+)USDT"')


class Candles:
    """Candles of a minute by symbol."""

    def __init__(self) -> None:
        self.candles: dict[tuple[str, int], dict[str, Any]] = {}

    async def add(self, trade: Any, receipt_time_s: float) -> None:
        """Fold one trade."""
        key = trade.symbol, int(trade.timestamp // 60_000)  # the feed takes microseconds for milliseconds
        price, amount = trade.price, trade.amount
        candle = self.candles.get(key)
        if candle is None:
            candle = self.candles[key] = {
                "open": price,
                "high": price,
                "low": price,
                "close": price,
                "volume": Decimal(0),
                "vwap": Decimal(0),
            }
        candle["close"] = price
        candle["volume"] += amount
        if price > candle["high"]:
            candle["high"] = price
        if price < candle["low"]:
            candle["low"] = price
        candle["vwap"] += price * amount


async def measure(frames: list[str]) -> dict[str, Any]:
    """Return the CPU time a trade, at best."""
    bases = sorted({found[1] for frame in frames if (found := _SYMBOL.search(frame))})
    symbols = {f"{base}-USDT": f"{base}USDT" for base in bases}
    Symbols.set(BINANCE, symbols, {})  # else it would ask the venue
    best_s, candles = float("inf"), 0
    for _ in range(PASSES):
        folded = Candles()
        feed = Binance(symbols=list(symbols), channels=[TRADES], callbacks={TRADES: folded.add})
        started_s = time.process_time()
        for frame in frames:
            await feed.message_handler(frame, None, 0.0)
        best_s = min(best_s, time.process_time() - started_s)
        candles = len(folded.candles)
    return {
        "trades": len(frames),
        "candles": candles,
        "cpu_us": 1e6 * best_s / len(frames),
        "version": f"cryptofeed {version('cryptofeed')}",
    }


def main() -> None:
    """Print the result."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    frames = [line.replace('"e":"trade"', '"e":"aggTrade"').replace('"t":', '"a":', 1) for line in lines]
    print(json.dumps(asyncio.run(measure(frames))))


if __name__ == "__main__":
    main()
