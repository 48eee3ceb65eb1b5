"""What other venues have really sent: every trade is stored, as they wrote it.

Of the stocks' days only the first frames are played; tests/contract/test_venues.py parses the whole.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import stored
from conftest import PARTITIONS, on_last_variant
from processes import Processes
from working import stored_count, until, working

LINES = 4_000

_TAKER = {"buy": "sell", "sell": "buy"}


def frames(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the recorded frames, numbers as decimals."""
    for path in sorted(folder.glob("*json*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            yield from (json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines)


def coinbase(folder: Path) -> Counter[tuple[Any, ...]]:
    found = Counter[tuple[Any, ...]]()
    for frame in frames(folder):
        if frame["type"] in ("match", "last_match"):
            time = datetime.fromisoformat(frame["time"])
            row = (
                frame["product_id"],
                int(frame["trade_id"]),
                Decimal(frame["price"]),
                Decimal(frame["size"]),
            )
            found[*row, _TAKER[frame["side"]], time] += 1
    return found


def finnhub(folder: Path) -> Counter[tuple[Any, ...]]:
    found = Counter[tuple[Any, ...]]()
    for frame in frames(folder):
        for row in frame["data"]:
            time = datetime.fromtimestamp(int(row["t"]) // 1000, UTC).replace(
                microsecond=int(row["t"]) % 1000 * 1000
            )
            found[row["s"], row["p"], row["v"], None, time] += 1
    return found


@on_last_variant
async def test_recorded_trades_are_stored_as_the_venue_wrote_them(
    redis_url: str, database_url: str, marketdata: Path, tmp_path: Path
) -> None:
    matches = coinbase(marketdata / "coinbase-exchange")
    stocks = tmp_path / "stocks"
    stocks.mkdir()
    for path in (marketdata / "stocks").glob("*.gz"):
        with gzip.open(path) as lines:
            (stocks / path.stem).write_bytes(b"".join(islice(lines, LINES)))
    rows = finnhub(stocks)
    assert matches.total() == 437
    assert rows.total() > 30_000
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    folders = [str(marketdata / "coinbase-exchange"), str(stocks)]
    async with Processes(environment, tmp_path) as processes, working(redis_url, database_url):
        await processes.start_sandbox("--capture", *folders, "--speed", "max", "--hold")
        await processes.start("ingest")

        async def all_stored() -> bool:
            return await stored_count(database_url) >= matches.total() + rows.total()

        await until(all_stored, "every trade stored", timeout_s=120)
    columns = "symbol, {id} price, size, side, event_time from trades where venue = $1"
    kept = await stored.fetch_rows(database_url, "select " + columns.format(id="trade_id,"), "coinbase")
    assert Counter(tuple(row) for row in kept) == matches
    kept = await stored.fetch_rows(database_url, "select " + columns.format(id=""), "finnhub")
    assert Counter(tuple(row) for row in kept) == rows
    assert await stored.fetch_value(
        database_url, "select bool_and(complete is null) from candles where closed and venue = 'finnhub'"
    )
