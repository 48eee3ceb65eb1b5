"""Venues' limits, kept by all ingest processes together through Redis."""

import asyncio
from typing import Any, Final

from tickplant.redis_client import RedisClient, until_answered

# The generic cell rate algorithm: one time a key says when the next use is due.
# KEYS: cell, ban. ARGV: interval and burst in us. Answers how long to wait, in us, the use being booked; or,
# while banned, how long the ban lasts, negative, nothing being booked.
_BOOK: Final = """
local ban = redis.call('PTTL', KEYS[2])
if ban > 0 then return -ban * 1000 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local next = due + interval
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
return math.max(0, due - now - interval * (tonumber(ARGV[2]) - 1))
"""


class Rate:
    """So many uses of something in a time, over all processes on one Redis.

    Source of the algorithm: ITU-T I.371, "virtual scheduling".
    """

    def __init__(self, redis: RedisClient, *, venue: str, what: str, per_s: float, burst: int = 1) -> None:
        """Take what is needed.

        Args:
            redis: an open client; stays the caller's.
            venue: whose limit it is; a ban concerns all of a venue's limits.
            what: what is limited.
            per_s: uses a second, in the long run.
            burst: uses at once, after a pause.
        """
        self._book: Any = redis.register_script(_BOOK)
        self._redis = redis
        self._cell = f"rate:{venue}:{what}"
        self._ban = f"ban:{venue}"
        self._interval_us = int(1e6 / per_s)
        self._burst = burst

    async def take(self, suffix: str = "") -> None:
        """Wait until one use is allowed; a ban is waited out.

        Args:
            suffix: tells cells apart where the venue counts, say, each symbol on its own.
        """
        keys, args = [self._cell + suffix, self._ban], [self._interval_us, self._burst]
        while True:
            wait_us = await until_answered(lambda: self._book(keys=keys, args=args))
            await asyncio.sleep(abs(wait_us) / 1e6)
            if wait_us >= 0:
                return

    async def ban(self, seconds: float) -> None:
        """Let nobody use the venue for a while, since it said so."""
        await until_answered(lambda: self._redis.set(self._ban, 1, px=max(1, int(seconds * 1000))))
