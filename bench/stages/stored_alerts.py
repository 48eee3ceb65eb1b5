"""Price alerts as workers store them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from bench.plant import SETTINGS, BenchPlant
from db.alerts.states import AlertRows
from db.pool import transaction
from tickplant.derived import Alert, AlertState
from tickplant.market import Trade
from tickplant.streams import partition_of

_ENTRY: Final = "0-0"


async def store_alerts(plant: BenchPlant, trades: Iterable[Trade], count: int) -> None:
    """Store alerts on all symbols alike, from half to twice their first price."""
    first: dict[str, Trade] = {}
    for trade in trades:
        first.setdefault(trade.symbol, trade)
    each = count // len(first)
    async with plant.open_pool() as pool:
        for trade in first.values():
            partition = partition_of(trade.venue, trade.symbol, SETTINGS.partitions)
            states = [AlertState(_alert(trade, number, each), armed=False) for number in range(each)]
            async with transaction(pool) as connection:
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
