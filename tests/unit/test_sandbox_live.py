"""Generated markets without end: started again, they go on with the next id at the last price."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from sandbox.audience import SandboxAudience
from sandbox.binance.klines import build_klines
from sandbox.binance.venue import SandboxBinance
from sandbox.journal import Journal, MarketState, TradingRun
from sandbox.live import LiveSource
from tickplant.clock import now_us
from tickplant.intervals import MINUTE_US, floor
from tickplant.market import SymbolId, Trade

SYMBOLS = ["BTCUSDT", "ETHUSDT", "NEWUSDT"]


def live(
    folder: Path,
    *,
    symbols: list[str] = SYMBOLS,
    clock_us: Callable[[], int] = now_us,
    kept: int = 10_000,
) -> LiveSource:
    journal = Journal(folder / "binance.jsonl", kept=kept)
    return LiveSource(SandboxBinance(), symbols, rate=2_000, seed=1, clock_us=clock_us, journal=journal)


async def run(source: LiveSource, until: int) -> asyncio.Task[None]:
    """Let markets trade until so many trades have been sent."""
    task = asyncio.create_task(source.run(SandboxAudience(10**6)))
    while source.status().sent < until:
        assert not task.done() or task.result()
        await asyncio.sleep(0.005)
    return task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def history(source: LiveSource, symbol: str) -> list[Trade]:
    return source.history(SymbolId("binance", symbol)).latest(10**6)


@pytest.mark.parametrize("killed", [True, False])
async def test_markets_continue_after_the_last_trade_and_serve_earlier_history(
    killed: bool, tmp_path: Path
) -> None:
    first = live(tmp_path)
    task = await run(first, 300)
    if killed:
        saved = (tmp_path / "binance.jsonl").read_bytes()
        await stop(task)
        (tmp_path / "binance.jsonl").write_bytes(saved + b'{"seed":"torn')
    else:
        await stop(task)
    second = live(tmp_path)
    task = await run(second, 300)
    await stop(task)
    for symbol in SYMBOLS:
        before, both = history(first, symbol), history(second, symbol)
        assert both[: len(before)] == before  # ids, prices, sizes and times
        assert len(both) > len(before)
        ids = [trade.trade_id for trade in both]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        times = [trade.event_time_us for trade in both]
        assert times == sorted(times)
        prices = [float(trade.price) for trade in both]
        steps = [abs(after / price - 1) for price, after in pairwise(prices)]
        assert max(steps) < 0.02


async def test_ids_and_prices_continue_a_day_later_with_other_symbols(tmp_path: Path) -> None:
    first = live(tmp_path)
    await stop(await run(first, 100))
    second = live(tmp_path, symbols=["XRPUSDT"], clock_us=lambda: now_us() + 86_400_000_000)
    await stop(await run(second, 100))
    third = live(tmp_path, clock_us=lambda: now_us() + 2 * 86_400_000_000)
    await stop(await run(third, 100))
    for symbol in SYMBOLS:
        ids = [trade.trade_id for trade in history(third, symbol)]
        assert ids[0] == history(first, symbol)[0].trade_id
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_a_candle_whose_first_trades_were_dropped_is_not_given(tmp_path: Path) -> None:
    await stop(await run(live(tmp_path, kept=10**6), 300))
    whole, cut = live(tmp_path, kept=10**6), live(tmp_path, kept=100)
    for source in (whole, cut):
        await stop(await run(source, 1))
    for source, given in (whole, True), (cut, False):
        trades = source.history(SymbolId("binance", "BTCUSDT"))
        minute_us = floor(trades.latest(10**6)[0].event_time_us, MINUTE_US)
        klines = build_klines(
            trades, MINUTE_US, now_us(), start_us=minute_us, end_us=minute_us, limit=10, micro=True
        )
        assert [row[0] for row in klines] == [minute_us] * given


async def test_a_clock_that_goes_back_stops_no_market(tmp_path: Path) -> None:
    await stop(await run(live(tmp_path, clock_us=lambda: now_us() + 3_600_000_000), 100))
    again = live(tmp_path)
    await stop(await run(again, 100))
    assert history(again, "BTCUSDT")[-1].event_time_us <= now_us()


def test_a_journal_keeps_the_newest_stretches_and_stays_small(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "sub" / "a.jsonl", kept=100)
    assert journal.read() == []
    for number in range(1_000):
        state = {"A": MarketState(1, number)}
        journal.write_start(
            TradingRun(seed="1", symbols=("A",), rate=1.0, start_us=number, count=10, markets=state)
        )
    assert len((tmp_path / "sub" / "a.jsonl").read_bytes().splitlines()) < 40
    kept = journal.read()
    assert [run.start_us for run in kept] == list(range(990, 1_000))
    journal.write_end(3)
    assert journal.read()[-1].count == 3
