"""What workers expose of a symbol while they have it, and no longer."""

import pytest
from conftest import on_one_variant
from prometheus_client import REGISTRY
from working import START_US, publishing, stored_count, trade, until, working

from db.pool import open_pool
from tickplant.background import background
from workers.volume_metrics import measure_volumes

SYMBOL = "VVVUSDT"  # of this test alone: metrics are the process's


def sample(what: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tickplant_worker_{what}", labels)


def of_symbol(what: str) -> float | None:
    return sample(what, venue="binance", symbol=SYMBOL)


@on_one_variant
async def test_a_symbols_price_volume_and_freshness(redis_url: str, database_url: str) -> None:
    rows = sample("written_rows_total", table="trades") or 0
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        await publisher.publish(
            [trade(number, at_us=START_US + number, symbol=SYMBOL, size="0.5") for number in range(1, 5)]
        )

        async def stored() -> bool:
            return await stored_count(database_url) == 4

        await until(stored, "trades are stored")
        async with (
            open_pool(database_url, size=1, application="test", eager=False) as pool,
            background(measure_volumes(pool, interval_s=0.01)),
        ):

            async def measured() -> bool:
                return of_symbol("volume_24h") == 2.0

            await until(measured, "the volume is measured")
        assert of_symbol("price") == 10.5
        assert of_symbol("watermark_seconds") == pytest.approx((START_US + 4) / 1e6)
        assert (of_symbol("missing_trades"), of_symbol("open_gaps")) == (0, 0)
        assert sample("written_rows_total", table="trades") == rows + 4
    for what in ("price", "volume_24h", "watermark_seconds", "missing_trades", "open_gaps"):
        assert of_symbol(what) is None
