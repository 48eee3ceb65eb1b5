"""Archive, wipe, import: the database is back, digit by digit."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import stored
from msgspec.structs import replace
from past_plant import plant, snapshot
from past_venue import days_of_trades
from working import ALL_ROLES, publishing, stored_count, until

from tickplant.intervals import DAY_US, floor
from tickplant.market import Trade
from tickplant.provenance import SOURCE_HEADER
from tickplant.wire import Verdict

SYMBOL = "AAAUSDT"
MISSING = {5_000_500, 5_000_501, 5_001_200}
VOID = (5_000_900, 5_000_909)
PLACES = ("1.5", "1.50", "1", "0.00000001")
ODD = [
    replace(trade, size=PLACES[trade.trade_id % 4], side=None if trade.trade_id % 7 == 0 else trade.side)
    for trade in days_of_trades(date(2024, 12, 30), 3, 600)
    if trade.trade_id not in MISSING and not VOID[0] <= trade.trade_id <= VOID[1]
]
ROLES = ALL_ROLES._replace(gap_wait_ms=0)
"""They go on at once after ids that are missing: otherwise averages end there, until ten seconds are over."""
END_US = floor(ODD[-1].event_time_us, DAY_US) + DAY_US


async def play(redis_url: str, database_url: str, trades: list[Trade]) -> None:
    """Store trades, a verdict, and the venue's time two days later."""
    async with publishing(redis_url) as publisher:
        await publisher.claim_source({SOURCE_HEADER: "synthetic"})
        for start in range(0, len(trades), 300):
            await publisher.publish(trades[start : start + 300])
        await publisher.publish_verdict(Verdict("binance", SYMBOL, *VOID, "void"))
        await publisher.publish_clock("binance", [SYMBOL], END_US)

    async def is_stored() -> bool:
        closed = await stored.fetch_value(
            database_url,
            f"select count(*) from ledger where extract(epoch from watermark) * 1000000 = {END_US}",
        )
        return bool(closed) and await stored_count(database_url) == len(trades)

    await until(is_stored, "all trades stored")


async def whole(url: str) -> dict[str, list[Any]]:
    found = await snapshot(url)
    query = "select trade_id, price::text, size::text, side, event_time, ingest_time from trades"
    found["trades"] = sorted(tuple(row) for row in await stored.fetch_rows(url, query))
    return found


async def test_an_archive_gives_the_database_back(redis_url: str, database_url: str, tmp_path: Path) -> None:
    archive = {"TICKPLANT_ARCHIVE_URL": str(tmp_path / "archive"), "TICKPLANT_ARCHIVE_AFTER_DAYS": "1"}
    async with plant(redis_url, database_url, tmp_path, ODD, ROLES, **archive) as processes:
        await play(redis_url, database_url, ODD)
        expected = await whole(database_url)
        async with publishing(redis_url) as publisher:  # a symbol of whose trades nothing is due
            later = replace(ODD[-1], symbol="BBBUSDT", event_time_us=END_US + DAY_US)
            await publisher.publish([later])

        async def has_come() -> bool:
            return await stored_count(database_url) == len(ODD) + 1

        await until(has_come, "the other symbol's trade stored")
        code, output = await processes.run("archive")
        assert (code, "3 days archived" in output) == (0, True), output
        manifests = [json.loads(path.read_text()) for path in (tmp_path / "archive").rglob("manifests/*")]
        compared = [manifest["comparison"] for manifest in manifests]
        assert all(compared), manifests
        assert sum(found["matched"] for found in compared) > 4_000
        assert sum(found["incomplete"] for found in compared) > 0
    async with plant(redis_url, database_url, tmp_path, ODD, ROLES, **archive) as processes:
        code, output = await processes.run("import", "--archive", archive["TICKPLANT_ARCHIVE_URL"])
        assert code == 0, output + processes.logs()
        assert f"{len(ODD):,} trades stored" in output
        assert await whole(database_url) == expected
        again, output = await processes.run("import", "--archive", archive["TICKPLANT_ARCHIVE_URL"], SYMBOL)
        assert again == 0, output
        assert await whole(database_url) == expected

        # The new database goes on with the same archive once that is asked for: nothing is written again.
        async with publishing(redis_url) as publisher:
            await publisher.publish_clock("binance", [SYMBOL], END_US + DAY_US)

        async def is_later() -> bool:
            query = (
                "select count(*) from ledger where watermark > (select max(event_time) + '1 day' from trades)"
            )
            return bool(await stored.fetch_value(database_url, query))

        await until(is_later, "the venue's time is a day later")
        code, output = await processes.run("archive", "--no-venue")
        assert (code, "another database has begun" in output + processes.logs()) == (1, True), output
        code, output = await processes.run("archive", "--no-venue", "--new")
        assert (code, "0 days archived, 3 were there already" in output) == (0, True), output

    path = next((tmp_path / "archive").rglob("trades/*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    async with plant(redis_url, database_url, tmp_path, ODD, ROLES, **archive) as processes:
        code, output = await processes.run("import", "--archive", archive["TICKPLANT_ARCHIVE_URL"])
        assert code == 1
        assert "was changed" in output + processes.logs()
