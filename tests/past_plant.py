"""A plant beside a venue whose trades have all happened, and what is stored in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import stored
from conftest import PARTITIONS
from derived import forget_everything
from past_venue import PastVenue
from processes import Processes
from working import ALL_ROLES, working

from sandbox.server import serve
from tickplant.market import Trade
from workers.loading import RoleSettings

_TABLES = {
    "trades": "select symbol, trade_id, price::text, size::text, side, event_time from trades",
    "ledger": "select symbol, first_trade_id, last_trade_id, missing::text, void::text, watermark"
    " from ledger",
    "candles": "select * from candles",
    "gaps": "select first_id, last_id, state from gaps where state <> 'healed'",
    "averages": "select * from averages",
    "statistics": "select * from statistics",
}


async def snapshot(url: str, *, revisions: bool = True) -> dict[str, list[Any]]:
    """Return the rows of all tables; without revisions, those of candles are left out."""
    found: dict[str, list[Any]] = {}
    for name, query in _TABLES.items():
        rows = [dict(row) for row in await stored.fetch_rows(url, query)]
        for row in rows:
            if not revisions:
                row.pop("revision", None)
        found[name] = sorted((tuple(row.items()) for row in rows), key=repr)
    return found


@asynccontextmanager
async def plant(
    redis_url: str,
    database_url: str,
    folder: Path,
    trades: list[Trade],
    roles: RoleSettings = ALL_ROLES,
    /,
    **environment: str,
) -> AsyncIterator[Processes]:
    """Empty servers with workers, and a venue with the archive and the history of trades."""
    await forget_everything(redis_url, database_url)
    source: Any = PastVenue(trades)
    async with serve([source]) as running, working(redis_url, database_url, roles=roles):
        url = running.addresses["binance"].rest_url
        variables = {
            "TICKPLANT_REDIS_URL": redis_url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_PARTITIONS": str(PARTITIONS),
            "TICKPLANT_BINANCE_REST_URL": url,
            "TICKPLANT_BINANCE_ARCHIVE_URL": url,
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        async with Processes(variables | environment, folder) as processes:
            yield processes
