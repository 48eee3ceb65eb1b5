"""The paper bot's switch: each time it was switched, and which version each partition has applied."""

from typing import Final, NamedTuple

import asyncpg

from db.pool import transaction
from tickplant.derived import BotSwitch
from tickplant.times import to_us


class StoredSwitch(NamedTuple):
    """The last time the bot was switched on or off."""

    switch: BotSwitch
    switched_us: int
    """When, by the database's clock."""
    arrived: bool
    """Whether every partition has applied it."""


async def write_switch(pool: asyncpg.Pool, *, enabled: bool, reason: str) -> None:
    """Switch the bot on or off.

    A partition applies it once it has received what `read_pending_switch` returns.
    """
    async with transaction(pool) as connection:
        await connection.execute("lock table bot_switchings in exclusive mode")
        await connection.execute(
            "insert into bot_switchings (version, enabled, reason)"
            " select coalesce(max(version), 0) + 1, $1, $2 from bot_switchings",
            enabled,
            reason,
        )


async def read_switch(connection: asyncpg.Connection) -> StoredSwitch | None:
    """Return the last switch; None if the bot was never switched."""
    row = await connection.fetchrow(
        f"select version, enabled, reason, switched_at, (select count(*) from ({_BEHIND}) b) as behind"  # noqa: S608 - constants only
        " from bot_switchings order by version desc limit 1"
    )
    if row is None:
        return None
    switch = BotSwitch(row["enabled"], row["version"], row["reason"])
    return StoredSwitch(switch, to_us(row["switched_at"]), not row["behind"])


async def read_pending_switch(pool: asyncpg.Pool) -> list[tuple[int, BotSwitch]]:
    """Return the last switch if it is to be sent now, for each partition that has not applied it.

    It is sent again after some seconds, and then at growing intervals: there may be no workers.
    """
    rows = await pool.fetch(
        f"with sent as ({_SEND} returning *) select b.partition, s.* from sent s, ({_BEHIND}) b"  # noqa: S608 - constants
    )
    return [(row["partition"], BotSwitch(row["enabled"], row["version"], row["reason"])) for row in rows]


_BEHIND: Final = """
select p.partition from generate_series(0, (select partitions from plant) - 1) as p (partition)
left join bot_switched d on d.partition = p.partition
where coalesce(d.version, 0) < (select max(version) from bot_switchings)
"""

_SEND: Final = f"""
update bot_switchings set sent_at = clock_timestamp()
where version = (select max(version) from bot_switchings) and exists ({_BEHIND}) and (
    sent_at is null
    or clock_timestamp() - sent_at > greatest(interval '5 seconds', sent_at - switched_at)
)
"""  # noqa: S608 - constants only
