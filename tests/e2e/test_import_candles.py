"""`tickplant import --candles`: the venue's own candles, apart from those of trades, and until these come."""

import io
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import stored
from conftest import on_last_variant
from past_plant import plant
from past_venue import days_of_trades

from tickplant.intervals import INTERVALS, floor
from tickplant.market import Candle, fold
from tickplant.times import format_time

SYMBOL = "binance:AAAUSDT"
TRADES = days_of_trades(date(2024, 12, 1), 33, 60)
"""December, which has a file of the month, and two days of January."""
PERIODS = ("--from", "2024-12", "--to", "2025-01-02")
DAYS = ("--from", "2024-12-30", "--to", "2024-12-31")


def venue_candles(interval: str) -> list[Candle]:
    """Return the candles of the venue's files: those of a week that begin in a month that has ended."""
    candles = fold(TRADES, interval, INTERVALS[interval])
    if interval != "1w":
        return candles
    december = [trade for trade in TRADES if trade.event_time_us < 1_735_689_600_000_000]
    first_us = floor(TRADES[0].event_time_us, INTERVALS[interval])
    last_us = december[-1].event_time_us
    return [candle for candle in candles if first_us < candle.open_time_us <= last_us]


async def test_they_fill_in_until_trades_come(redis_url: str, database_url: str, tmp_path: Path) -> None:
    archive_alone = {"TICKPLANT_BINANCE_REST_URL": ""}
    async with plant(redis_url, database_url, tmp_path, TRADES, **archive_alone) as processes:
        code, output = await processes.run("import", "--candles", SYMBOL, *PERIODS)
        assert code == 0, output + processes.logs()
        assert f"{SYMBOL} 1w: the archive has weeks only in files of whole months" in output
        for interval in INTERVALS:
            rows = await stored.fetch_rows(
                database_url,
                "select * from all_candles($1, $2, $3) order by open_time",
                *("binance", "AAAUSDT", interval),
            )
            expected = venue_candles(interval)
            assert f"{SYMBOL} {interval}: {len(expected):,} candles, {len(expected):,} stored" in output
            assert {row["origin"] for row in rows} == {"venue"}
            columns = ("open", "high", "low", "close", "volume", "trade_count", "taker_buy_volume")
            assert [[row[name] for name in columns] for row in rows] == [
                [getattr(candle, name) for name in columns] for candle in expected
            ], interval
        assert await stored.fetch_value(database_url, "select count(*) from candles") == 0
        assert await stored.fetch_value(database_url, "select source from plant") == "synthetic"

        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert code == 0, output + processes.logs()
        code, output = await processes.run("import", "--candles", SYMBOL, *PERIODS, "--intervals", "1h, 1d")
        assert (code, output.count(" candles, 0 stored, ")) == (0, 2), output
        rows = await stored.fetch_rows(
            database_url,
            "select open_time::date::text as day, origin from all_candles('binance', 'AAAUSDT', '1d')"
            " order by 1",
        )
        assert [row["day"] for row in rows] == sorted({day_of(trade.event_time_us) for trade in TRADES})
        assert [row["day"] for row in rows if row["origin"] == "trades"] == ["2024-12-30", "2024-12-31"]

        exported = tmp_path / "all.parquet"
        arguments = ("export", "all-candles", "--symbol", SYMBOL, "--interval", "1d")
        code, output = await processes.run(*arguments, "--format", "parquet", "--output", str(exported))
        assert code == 0, output + processes.logs()
        origins = pq.read_table(io.BytesIO(exported.read_bytes())).column("origin").to_pylist()
        assert origins == [row["origin"] for row in rows]


def day_of(time_us: int) -> str:
    return format_time(time_us)[:10]


@on_last_variant
async def test_files_are_named_and_lines_that_are_no_candles_are_reported(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    good = "1735603200000000,1,2,0.5,1.5,3,1735689599999999,4.5,7,1,1.5,0"
    file = tmp_path / "AAAUSDT-1d-2024-12.csv"
    file.write_text(f"{good}\n{good.replace('1735603200000000', '1735516800000000').replace(',7,', ',x,')}\n")
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        code, output = await processes.run("import", "--candles", "--files", str(file))
        assert code == 1, output + processes.logs()
        assert "1d: 1 candles, 1 stored, from 2024-12-31" in output
        assert "1 lines are no possible candles:\n  AAAUSDT-1d-2024-12.csv: line 2: " in output
        for words, reason in (
            (("--candles", "kraken:BTC/USD", *DAYS), "only Binance has an archive of candles"),
            (("--candles", "--archive", str(tmp_path)), "leave out --candles"),
            ((SYMBOL, *DAYS, "--intervals", "1d"), "--intervals goes with --candles"),
            (("--candles", SYMBOL, *DAYS, "--intervals", "1d,3m"), "'3m' is not one of 1m, 5m"),
            (("--candles", SYMBOL, *DAYS, "--intervals", "1d,1w"), "1w: the archive has weeks only in files"),
            (("--candles", SYMBOL, "--from", "9999-12"), "neither a month such as 2026-01 nor a day"),
            (("--files", str(file)), "imported by --candles"),
            (("--candles", "--files", str(tmp_path / "AAAUSDT-trades-2024-12-30.zip")), "No such file"),
        ):
            code, _ = await processes.run("import", *words)
            assert code in (1, 2), words
            assert reason in processes.logs(), words
        assert "Traceback" not in processes.logs()
