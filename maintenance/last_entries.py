"""Which entry of each stream must be committed before everything sent so far is stored."""

from collections.abc import Iterable
from typing import Final

from tickplant.redis_client import RedisClient
from tickplant.streams import trades_stream
from tickplant.wire import CLOCK

_ENTRIES_READ: Final = 64


async def read_last_entry_ids(redis: RedisClient, partitions: Iterable[int]) -> dict[int, str]:
    """Return the id of the newest entry of each partition's stream that is not a clock.

    Clock entries alone are committed with a delay, so they are not worth waiting for. Where the newest 64 are
    all clocks, it is the oldest of these, which is committed after everything before it.

    Returns:
        The ids by partition, without those whose streams are empty.
    """
    asked = list(partitions)
    streams = await redis.exchange(
        *[("XREVRANGE", trades_stream(each), "+", "-", "COUNT", _ENTRIES_READ) for each in asked]
    )
    return {
        partition: next(
            (entry_id for entry_id, fields in entries if CLOCK not in fields[::2]), entries[-1][0]
        ).decode()
        for partition, entries in zip(asked, streams, strict=True)
        if entries
    }
