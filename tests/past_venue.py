"""A sandbox venue whose trades have all happened, with its REST history and its archive; and its trades."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.audience import SandboxAudience
from sandbox.history import SandboxHistory, TapeColumns
from sandbox.source import SourceStatus, SymbolTape
from sandbox.venues import VENUES
from tickplant.clock import now_us
from tickplant.market import SymbolId, Trade
from tickplant.times import to_us


class PastVenue:
    """Binance after some trades; a `sandbox.source.TradeSource`."""

    def __init__(self, trades: Sequence[Trade]) -> None:
        self.venue = VENUES["binance"]
        self.provenance: Any = "synthetic"
        self._trades: dict[SymbolId, list[Trade]] = {}
        for trade in trades:
            self._trades.setdefault(SymbolId(trade.venue, trade.symbol), []).append(trade)
        self._columns = {symbol: self._make(symbol) for symbol in self._trades}

    @property
    def symbols(self) -> list[SymbolId]:
        return list(self._trades)

    def _make(self, symbol: SymbolId) -> TapeColumns:
        columns = TapeColumns(symbol, self._trades[symbol].__getitem__)
        for trade in self._trades[symbol]:
            columns.append(trade.trade_id, trade.event_time_us, trade.price, trade.side)
        return columns

    def now_us(self) -> int:
        return now_us()

    def status(self) -> SourceStatus:
        return SourceStatus("finished", 0, 0, {})

    def tape(self) -> dict[str, SymbolTape]:
        return {}

    def history(self, symbol: SymbolId) -> SandboxHistory:
        return SandboxHistory(self._columns[symbol], len(self._columns[symbol]))

    async def run(self, audience: SandboxAudience) -> None:
        await asyncio.Event().wait()


def days_of_trades(
    first: date, days: int, per_day: int, *, symbol: str = "AAAUSDT", seed: int = 1, first_id: int = 5_000_000
) -> list[Trade]:
    """Return trades of some days, most of each day's within two hours; whole milliseconds before 2025."""
    rng = random.Random(seed)
    trades: list[Trade] = []
    price = 10_000
    for number in range(days):
        start = datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(days=number)
        offsets = [73_800_000_000 + rng.randrange(7_200_000_000) for _ in range(per_day)]
        offsets[:10] = [rng.randrange(86_400_000_000) for _ in range(10)]
        for offset in sorted(offsets):
            at_us = to_us(start) + offset
            if start.year < 2025:
                at_us -= at_us % 1000
            price = max(1, price + rng.randrange(-3, 4))
            trades.append(
                Trade(
                    "binance",
                    symbol,
                    first_id + len(trades),
                    f"{price // 100}.{price % 100:02}000000",
                    f"0.{rng.randrange(1, 10**8):08}",
                    rng.choice(("buy", "sell")),
                    at_us,
                    at_us,
                )
            )
    return trades
