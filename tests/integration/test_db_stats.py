"""What is computed of stored trades and candles equals what the trades themselves give."""

from collections.abc import AsyncIterator, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

import asyncpg
import pytest
from correct import SYMBOL, candles_of, random_trades, store, store_candles

from db.stats import Change24h, PriceMeans, read_candle_closes, read_changes_24h, read_price_means
from tickplant.intervals import DAY_US, MINUTE_US, floor
from tickplant.market import SymbolId, Trade
from tickplant.times import to_datetime


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


def change_of(trades: Sequence[Trade], until_us: int) -> Change24h:
    """The last 24 hours straight from the trades."""
    start_us = floor(until_us, MINUTE_US) + MINUTE_US - DAY_US
    seen = sorted(
        (trade for trade in trades if trade.event_time_us >= start_us),
        key=lambda trade: (trade.event_time_us, trade.trade_id),
    )
    prices = [Decimal(trade.price) for trade in seen]
    covered_us = max(start_us, min(trade.event_time_us for trade in trades))
    if not seen:
        return Change24h(
            SYMBOL,
            start_us,
            until_us,
            covered_us,
            None,
            None,
            None,
            None,
            None,
            None,
            Decimal(0),
            Decimal(0),
            0,
        )
    with localcontext(prec=60):
        change = prices[-1] - prices[0]
        return Change24h(
            SYMBOL,
            start_us,
            until_us,
            covered_us,
            prices[0],
            prices[-1],
            max(prices),
            min(prices),
            change,
            (100 * change / prices[0]).quantize(Decimal("1e-6"), rounding="ROUND_HALF_UP"),
            sum(Decimal(trade.size) for trade in seen),  # type: ignore[arg-type]
            sum(Decimal(trade.size) * Decimal(trade.price) for trade in seen),  # type: ignore[arg-type]
            len(seen),
        )


async def test_a_change_is_that_of_the_trades_at_any_minute(connection: asyncpg.Connection) -> None:
    trades = random_trades(seed=7, count=1200)
    await store(connection, trades)
    first_us = trades[0].event_time_us
    midnight_us = floor(trades[600].event_time_us, DAY_US)
    moments_us = [trades[index].event_time_us for index in range(90, 1200, 185)]
    moments_us += [midnight_us - 1, midnight_us, midnight_us + MINUTE_US, midnight_us + 7 * MINUTE_US + 1]
    moments_us += [trades[-1].event_time_us + MINUTE_US * 90, trades[-1].event_time_us + 2 * DAY_US]
    for until_us in moments_us:
        assert until_us > first_us
        seen = [trade for trade in trades if trade.event_time_us <= until_us]
        await store_candles(connection, seen, until_us)
        await connection.execute("update ledger set watermark = $1", to_datetime(until_us))
        assert await read_changes_24h(connection) == [change_of(seen, until_us)]


async def test_changes_of_some_symbols(connection: asyncpg.Connection) -> None:
    await store(connection, random_trades(seed=7))
    other = SymbolId("binance", "ETHUSDT")
    assert await read_changes_24h(connection, [other]) == await read_changes_24h(connection, []) == []
    (found,) = await read_changes_24h(connection, [other, SYMBOL])
    # One that has not been heard of for a year hides no other, and is there itself.
    await connection.execute(
        "insert into ledger select venue, 'ETHUSDT', partition, first_trade_id, last_trade_id, missing,"
        " watermark - interval '1 year' from ledger"
    )
    both = await read_changes_24h(connection)
    assert [stats.symbol for stats in both] == [SYMBOL, other]
    assert both[0] == found
    assert list(both[1][3:]) == [both[1].start_us, *[None] * 6, 0, 0, 0]
    assert both[1].until_us < found.start_us


@pytest.mark.parametrize("period_us", [1, 40_000_000, DAY_US])
async def test_means_are_those_of_the_trades(connection: asyncpg.Connection, period_us: int) -> None:
    trades = random_trades(seed=8)
    await store(connection, trades)
    until_us = max(trade.event_time_us for trade in trades)
    seen = [trade for trade in trades if trade.event_time_us > until_us - period_us]
    prices, sizes = [Decimal(trade.price) for trade in seen], [Decimal(trade.size) for trade in seen]
    with localcontext(prec=60):
        volume = sum(sizes, Decimal(0))
        quote_volume = sum((price * size for price, size in zip(prices, sizes, strict=True)), Decimal(0))
        mean = sum(prices, Decimal(0)) / len(seen)
        weighted = (quote_volume / volume).quantize(Decimal("1e-18"), ROUND_HALF_UP).normalize()
    times_us = [trade.event_time_us for trade in seen]
    with localcontext(prec=18):
        expected = PriceMeans(
            until_us - period_us,
            until_us,
            len(seen),
            min(times_us),
            max(times_us),
            +mean,
            weighted,
            volume,
            quote_volume,
        )
    assert await read_price_means(connection, SYMBOL, period_us) == expected


async def test_means_of_nothing(connection: asyncpg.Connection) -> None:
    assert await read_price_means(connection, SYMBOL, MINUTE_US) is None
    await store(connection, random_trades(seed=8))
    await connection.execute("update ledger set watermark = watermark + interval '1 hour'")
    found = await read_price_means(connection, SYMBOL, MINUTE_US)
    assert found is not None
    assert found.until_us - found.after_us == MINUTE_US
    assert (found.trade_count, found.mean, found.weighted_mean) == (0, None, None)
    assert found.volume == found.quote_volume == 0


async def test_closes_are_of_closed_candles_only(connection: asyncpg.Connection) -> None:
    trades = random_trades(seed=9)
    await store(connection, trades)
    closed = [candle for candle in candles_of(trades) if candle.interval == "5m" and candle.closed]
    expected = sorted((trade.open_time_us, float(trade.close)) for trade in closed)
    bounds = {"start_us": 0, "end_us": trades[-1].event_time_us + DAY_US}
    read = await read_candle_closes(connection, SYMBOL, "5m", **bounds, limit=1000, newest=False)
    assert read == expected
    read = await read_candle_closes(connection, SYMBOL, "5m", **bounds, limit=3, newest=True)
    assert read == expected[-3:]
