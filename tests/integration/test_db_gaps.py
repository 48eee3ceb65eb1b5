"""How many gaps are published."""

import asyncpg
from correct import SYMBOL, random_trades, store

from db.gaps import MAX_GAPS_PUBLISHED, write_gaps
from tickplant.wire import Verdict


async def test_of_many_gaps_the_recoverable_ones_are_published_first(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, random_trades(seed=1))
    ranges = [(first, first) for first in range(10, 10 + 4 * MAX_GAPS_PUBLISHED, 2)]
    missing = "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}"
    await connection.execute("update ledger set missing = $1::text::int8multirange", missing)
    given_up = ranges[: MAX_GAPS_PUBLISHED + 500]
    verdict = Verdict(*SYMBOL, given_up[0][0], given_up[-1][1], "unrecoverable", "too old")
    _, open_gaps = await write_gaps(connection, [(*SYMBOL, 0)], [verdict])
    published = [(gap.first_id, gap.last_id) for gap in open_gaps[SYMBOL]]
    assert published == given_up[:500] + ranges[MAX_GAPS_PUBLISHED + 500 :]
    assert await connection.fetchval("select count(*) from gaps") == len(ranges)
    await connection.close()
