"""Venues' rate limits, shared by all ingest processes through Redis."""

import asyncio
from typing import Final

from ingest.history.retry_after import LONGEST_S
from ingest.venues.base import VenueAdapter, VenueLimits
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import retry_until_available
from tickplant.redis_exchange import Script

# The generic cell rate algorithm. A key stores when the next use is due, and when that was written, so that
# the due time moves back with the clock. KEYS: cell, and the ban if the limit is bannable. ARGV: interval in
# us, burst, longest ban in ms. Books one use and returns the wait in us; during a ban, books nothing and
# returns the remaining ban in us, negative. A longer ban than the longest is shortened to it.
_BOOK: Final = Script("""
if KEYS[2] then
  local ban, longest = redis.call('PTTL', KEYS[2]), tonumber(ARGV[3])
  if ban == -1 or ban > longest then
    redis.call('PEXPIRE', KEYS[2], longest)
    ban = longest
  end
  if ban > 0 then return -ban * 1000 end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local due, written = string.match(redis.call('GET', KEYS[1]) or '0', '^(%d+) ?(%d*)$')
due, written = tonumber(due or 0), tonumber(written) or 0
if written > now then due = due - written + now end
due = math.max(due, now)
local next = due + interval
redis.call('SET', KEYS[1], string.format('%.0f %.0f', next, now), 'PX', math.ceil((next - now) / 1000) + 1000)
return math.max(0, due - now - interval * (tonumber(ARGV[2]) - 1))
""")

# KEYS: ban. ARGV: ms. A ban that ends later is not shortened.
_PROLONG: Final = Script("""
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
""")

_BAN_POLL_S: Final = 5.0
"""How often a ban is read again: another process or an operator may have changed it."""


class RateLimit:
    """A rate limit shared by all processes on one Redis.

    Source of the algorithm: ITU-T I.371, "virtual scheduling".
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        venue: str,
        what: str,
        per_s: float,
        burst: int = 1,
        bannable: bool = False,
    ) -> None:
        """Initialize the limit.

        Args:
            redis: an open client; stays the caller's.
            venue: the venue that sets the limit.
            what: the limited use: requests, connects or messages.
            per_s: uses per second, on average.
            burst: the most uses at once after a pause.
            bannable: whether uses stop while the venue bans this plant; see `ban`.
        """
        self._redis = redis
        # In braces what Redis Cluster hashes: a script touches both keys, so they must share a slot.
        self._cell = f"rate:{{ban:{venue}}}:{what}"
        self._ban = [f"ban:{venue}"] if bannable else []
        self._interval_us = int(1e6 / per_s)
        self._burst = burst

    async def take(self, suffix: str = "") -> None:
        """Wait until one use is allowed and no ban is in force.

        Args:
            suffix: selects a cell of its own, where the venue counts each symbol separately.
        """
        keys = [self._cell + suffix, *self._ban]
        args = [self._interval_us, self._burst, int(LONGEST_S * 1000)]
        while True:
            (wait_us,) = await retry_until_available(
                lambda: self._redis.exchange((_BOOK, len(keys), *keys, *args))
            )
            if wait_us >= 0:
                await asyncio.sleep(wait_us / 1e6)
                return
            await asyncio.sleep(min(_BAN_POLL_S, -wait_us / 1e6))

    async def ban(self, seconds: float) -> None:
        """Stop all uses for some seconds, at most `LONGEST_S`, as the venue requires."""
        milliseconds = max(1, int(min(seconds, LONGEST_S) * 1000))
        if self._ban:
            command = (_PROLONG, len(self._ban), *self._ban, milliseconds)
            await retry_until_available(lambda: self._redis.exchange(command))


def request_limit(redis: RedisClient, venue: VenueAdapter) -> RateLimit:
    """Return the venue's limit of REST requests, for both history and the list of symbols."""
    per_s = venue.limits.requests_per_s
    return RateLimit(redis, venue=venue.name, what="requests", per_s=per_s, burst=5, bannable=True)


def connect_rate(limits: VenueLimits) -> tuple[float, int] | None:
    """Return the connection attempts per second, and at once, that a venue allows; None for no limit."""
    if limits.connects is None:
        return None
    burst = max(1, limits.connects // 2)
    return limits.connects / limits.connects_window_s / 2, burst  # together within the limit in any window


def connect_limit(redis: RedisClient, venue: VenueAdapter) -> RateLimit | None:
    """Return the venue's limit of connection attempts; None if it has none."""
    rate = connect_rate(venue.limits)
    if rate is None:
        return None
    return RateLimit(redis, venue=venue.name, what="connects", per_s=rate[0], burst=rate[1])


def message_limit(redis: RedisClient, venue: VenueAdapter) -> RateLimit | None:
    """Return the venue's limit of messages sent to it; None if it has none."""
    per_s = venue.limits.messages_per_s
    return None if per_s is None else RateLimit(redis, venue=venue.name, what="messages", per_s=per_s)
