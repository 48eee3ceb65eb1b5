"""Stage `roles`: what a trade costs the worker with all roles, and with many alerts, beside candles alone."""

import time
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Final

from bench.cpu import CpuMeter
from bench.market import make_frames
from bench.plant import SETTINGS, BenchPlant
from bench.result import Cost, Costs, Result
from db.alerts.states import AlertRows
from db.pool import Pool, open_pool, transaction
from db.progress import count_trades
from ingest.publisher import Publisher
from ingest.venues.binance import BinanceAdapter
from tickplant.derived import Alert, AlertState
from tickplant.market import Trade
from tickplant.streams import partition_of

AIM: Final = 1.5
_PUBLISHED: Final = 2_500
_ENTRY: Final = "0-0"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


async def measure_roles(plant: BenchPlant, count: int, alerts: int) -> list[Result]:
    """Measure one worker process on the same full stream, with more and more to do."""
    parsed = [BinanceAdapter.parse_frame(frame, time.time_ns() // 1000) for frame in make_frames(count)]
    trades = [trade for trades in parsed if isinstance(trades, tuple) for trade in trades]
    candles = await _measure(plant, trades, "candles alone", settings={"TICKPLANT_ROLES": "none"})
    return [
        Costs(
            "worker's CPU a trade",
            candles,
            (
                await _measure(plant, trades, "all roles"),
                await _measure(plant, trades, f"all roles, {alerts:,} alerts", alerts=alerts),
            ),
            AIM,
        )
    ]


async def _measure(
    plant: BenchPlant,
    trades: list[Trade],
    name: str,
    *,
    alerts: int = 0,
    settings: Mapping[str, str] = NOTHING,
) -> Cost:
    await plant.empty()
    await _set_alerts(plant, trades, alerts)
    publisher = Publisher(plant.redis, partitions=SETTINGS.partitions, budget_trades=10**12)
    for start in range(0, len(trades), _PUBLISHED):
        await publisher.publish(trades[start : start + _PUBLISHED])
    async with (
        plant.processes("worker", venue=None, **settings),
        open_pool(plant.database_url, size=1, application="bench") as pool,
    ):
        # From the first commit on: starting a process, and loading its initial state, is no trade's cost.
        await plant.until(partial(_has_started, pool), "the first commit", poll_s=0.005)
        meter = CpuMeter()
        left = len(trades) - await count_trades(pool)
        started_s = time.perf_counter()
        await plant.until(partial(_is_done, pool, len(trades)), f"{len(trades):,} trades committed")
        per_s = left / (time.perf_counter() - started_s)
        return Cost(name, meter.spent_us(left)["worker"], per_s, meter.read(left))


async def _has_started(pool: Pool) -> bool:
    return await count_trades(pool) > 0


async def _is_done(pool: Pool, count: int) -> bool:
    return await count_trades(pool) >= count


async def _set_alerts(plant: BenchPlant, trades: list[Trade], count: int) -> None:
    """Store alerts as workers know them: on all symbols alike, from half to twice their first price."""
    first: dict[str, Trade] = {}
    for trade in trades:
        first.setdefault(trade.symbol, trade)
    each = count // len(first)
    for trade in first.values():
        partition = partition_of(trade.venue, trade.symbol, SETTINGS.partitions)
        states = [AlertState(_alert(trade, number, each), armed=False) for number in range(each)]
        async with (
            open_pool(plant.database_url, size=1, application="bench") as pool,
            transaction(pool) as connection,
        ):
            await AlertRows(partition, states, (), ()).write(connection, _ENTRY)


def _alert(trade: Trade, number: int, count: int) -> Alert:
    share = Decimal("0.5") + Decimal("1.5") * number / count
    return Alert(
        alert_id=f"{trade.symbol}-{number}",
        version=1,
        user="bench",
        venue=trade.venue,
        symbol=trade.symbol,
        kind="crosses_above" if number % 2 else "crosses_below",
        price=f"{Decimal(trade.price) * share:.8f}",
        repeat=True,
        cooldown_s=60,
    )
