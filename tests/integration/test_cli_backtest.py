"""`tickplant backtest`, as a user runs it, on trades that workers have stored."""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import stored
from conftest import on_one_variant
from working import MINUTE_US, START_US, publish_in_batches, publishing, stored_count, trade, until, working

from tickplant.cli.roles import role_settings
from tickplant.market import Trade
from tickplant.settings_reader import read_settings
from tickplant.times import format_time

STRATEGIES: Final = (
    "dip?share=0.997&cooldown_s=5",
    "cross?averages=sma_2+ema_3&cooldown_s=30",
    "cross?name=slow&intervals=5m&averages=sma_2+ema_3",
    "hop?window_s=5&threshold=0.001&cooldown_s=5",
    "anomaly?zscore=2&cooldown_s=0",
)
ENVIRONMENT: Final = {
    "TICKPLANT_STRATEGIES": ",".join(STRATEGIES),
    "TICKPLANT_SMA": "2",
    "TICKPLANT_EMA": "3",
    "TICKPLANT_BOT_STRATEGIES": "dip,cross,slow,hop,anomaly",
    "TICKPLANT_STATISTICS_RETURNS": "20",
    "TICKPLANT_GAP_WAIT_S": "0.5",
}
COLUMNS: Final = 'strategy, number, event_time, trade_id, price::text, side, strength, "values"::text'


def restless(count: int) -> list[Trade]:
    """Trades for two hours, with calm and with jumps, some of the same moment."""
    rng = random.Random(3)
    at_us, price = START_US, 100_000
    trades = []
    for number in range(1, count + 1):
        at_us += rng.choice([0, 0, 200_000, 900_000, 2_000_000, 15_000_000])
        price += rng.choice([-60, -20, 0, 0, 20, 60, 400, -400]) if rng.random() < 0.5 else 0
        trades.append(trade(number, at_us=at_us, price=f"{price / 1000:.3f}", size=f"{rng.randint(1, 500)}"))
    return trades


TRADES: Final = restless(2_500)


class Plant:
    """Trades that workers have stored, and the signals that strategies gave live."""

    def __init__(self, url: str, folder: Path) -> None:
        self.environment = {**os.environ, **ENVIRONMENT, "TICKPLANT_DATABASE_URL": url}
        self.folder = folder
        self.url = url

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tickplant", "backtest", "--symbol", "AAAUSDT", *arguments]

    async def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            self.command(*arguments),
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    async def lines(self, *arguments: str) -> list[dict[str, Any]]:
        ended = await self.run("--json", *arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        return [json.loads(line) for line in ended.stdout.splitlines()]

    async def live(self) -> list[dict[str, Any]]:
        """What is stored of the signals, in order of time."""
        rows = await stored.fetch_rows(
            self.url,
            "select strategy, 'binance:' || symbol as symbol, number, side, strength, price::text, trade_id,"
            ' (extract(epoch from event_time) * 1000000)::int8 as event_time, "values"::text from signals'
            " order by event_time, trade_id, strategy",
        )
        found = [dict(row) for row in rows]
        for row in found:
            row["event_time"], row["values"] = format_time(row["event_time"]), json.loads(row["values"])
        return found


@pytest.fixture
async def plant(redis_url: str, database_url: str, tmp_path: Path) -> Plant:
    roles = role_settings(read_settings(ENVIRONMENT, tmp_path / "none"))
    late = TRADES[700]
    async with publishing(redis_url) as publisher, working(redis_url, database_url, roles=roles):
        await publish_in_batches(publisher, [trade for trade in TRADES[:720] if trade is not late], seed=1)
        await publisher.publish([late])  # which roles wait for
        await publish_in_batches(publisher, TRADES[720:], seed=2)
        await publisher.publish_clock("binance", ["AAAUSDT"], TRADES[-1].event_time_us + 2 * MINUTE_US)

        async def closed() -> bool:
            flags = await stored.read_flags(database_url, "AAAUSDT")
            return len(flags) > 0 and flags[-1][1] and await stored_count(database_url) == len(TRADES)

        await until(closed, "all stored and closed")
    return Plant(database_url, tmp_path)


def signals(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Signals in order of time, without their numbers."""
    found = [{**line} for line in lines if line.get("type", "signal") == "signal"]
    for line in found:
        line.pop("type", None)
    return sorted(found, key=lambda row: (row["event_time"], row["trade_id"], row["strategy"]))


@on_one_variant
async def test_it_gives_the_signals_and_fills_that_live_gave(plant: Plant) -> None:
    live = await plant.live()
    assert {signal["strategy"] for signal in live} == {"dip", "cross", "slow", "hop", "anomaly"}
    lines = await plant.lines()
    assert signals(lines) == signals(live)
    fills = await stored.fetch_rows(plant.url, "select * from bot_fills order by number")
    simulated = [line for line in lines if line["type"] == "fill"]
    assert [(fill["number"], fill["trade_id"], fill["price"], fill["fee"]) for fill in simulated] == [
        (row["number"], row["trade_id"], f"{row['price']:f}", f"{row['fee']:f}") for row in fills
    ]
    assert len(simulated) > 10
    account = (await stored.fetch_rows(plant.url, "select * from bot_accounts"))[0]
    summary = lines[-1]
    assert (summary["type"], summary["trades"]) == ("summary", len(TRADES))
    assert [summary[name] for name in ("cash", "position", "fees", "equity")] == [
        f"{account[name]:f}" for name in ("cash", "position", "fees", "equity")
    ]


@on_one_variant
async def test_a_stretch_gives_the_signals_that_live_gave_in_it_counted_anew(plant: Plant) -> None:
    start_us = TRADES[1500].event_time_us // MINUTE_US * MINUTE_US  # where candles close and averages cross
    end_us = TRADES[2200].event_time_us
    start, end = format_time(start_us), format_time(end_us)
    expected = [signal for signal in signals(await plant.live()) if start <= signal["event_time"] < end]
    given = ("--strategy", STRATEGIES[0], "--strategy", STRATEGIES[1], "--from", start, "--to", end)
    lines = await plant.lines(*given)
    without_numbers = [{**line, "number": 0} for line in signals(lines)]
    assert without_numbers == [
        {**candle, "number": 0} for candle in expected if candle["strategy"] in ("dip", "cross")
    ]
    for strategy in ("dip", "cross"):
        numbers = [signal["number"] for signal in signals(lines) if signal["strategy"] == strategy]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 2
    assert lines[-1]["trades"] == sum(start_us <= trade.event_time_us < end_us for trade in TRADES)
    warm = await plant.lines(*given, "--warm-up", "2000-01-01")
    assert warm == lines


OWN: Final = '''
import os, signal
from workers.strategies import NEITHER, Opinion, Strategy

class Every(Strategy):
    """Buys and sells by turns, every hundred trades."""
    name = "every"
    trades = True
    cooldown_s = 0
    seen: int = 0

    def trade(self, trade):
        self.seen += 1
        if self.seen == int(os.environ.get("INTERRUPT_AT", -1)):
            os.kill(os.getpid(), signal.SIGINT)
        if self.seen == int(os.environ.get("RAISE_AT", -1)):
            raise ArithmeticError("one too many")
        if self.seen % 100:
            return NEITHER
        return Opinion("sell" if self.seen % 200 else "buy", 0.5, {"seen": self.seen})
'''


@on_one_variant
async def test_a_strategy_of_ones_own_as_a_person_reads_it(plant: Plant) -> None:
    (plant.folder / "mine.py").write_text(OWN)
    free = {"TICKPLANT_BOT_FEE_BPS": "0", "TICKPLANT_BOT_SLIPPAGE_BPS": "0"}
    ended = await plant.run("--strategy", "mine:Every", **free)
    lines = ended.stdout.splitlines()
    hundredth = TRADES[99]
    assert lines[0].split() == [
        format_time(hundredth.event_time_us),
        *f"every 1: sell at {hundredth.price}, strength 0.50 (seen 100)".split(),
    ]
    assert lines[1].endswith("order 1: sell refused: there is nothing to sell")
    assert "order 2: buy " in lines[3]
    assert f" at {float(TRADES[200].price):g}, fee 0" in lines[3]
    assert "signals  every 25" in lines
    assert any(line.startswith("orders   25: 23 filled, 1 refused, 1 open; ") for line in lines)

    ended = await plant.run("--strategy", "mine:Every", INTERRUPT_AT="150")
    assert ended.returncode == 130
    assert "interrupted; the results so far:" in ended.stdout

    ended = await plant.run("--strategy", "mine:Every", RAISE_AT="150")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert 'raise ArithmeticError("one too many")' in ended.stderr


@on_one_variant
async def test_a_backtest_that_cannot_run_is_refused_with_the_reason(plant: Plant) -> None:
    for arguments, code, message in (
        (
            ("--strategy", "corss"),
            2,
            "--strategy: corss: none of dip, cross, hop, anomaly; did you mean cross?",
        ),
        (("--from", "2024-01-02", "--to", "2024-01-01"), 2, "--to is not after --from"),
        (("--from", "2024-01-02", "--warm-up", "2024-01-03"), 2, "--warm-up is after --from"),
    ):
        ended = await plant.run(*arguments)
        assert (ended.returncode, ended.stdout) == (code, "")
        assert message in ended.stderr
    ended = await plant.run(TICKPLANT_STRATEGIES="none")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "TICKPLANT_STRATEGIES names no strategy" in ended.stderr
    summary = (await plant.lines("--to", "2001-01-01"))[-1]
    assert (summary["trades"], summary["first_price"], summary["profit"]) == (0, None, "0.00000000")
