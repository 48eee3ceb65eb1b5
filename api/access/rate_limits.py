"""Rate limits by API key or address, over all API processes.

The limit is a token bucket, counted as in the generic cell rate algorithm: a bucket is one number, the time
at which it is full again. Redis holds it, and one script decides and returns what the response's headers say;
libraries need several round trips for that. While Redis is unavailable, each process counts by itself.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from typing import Final, NamedTuple

from msgspec import Struct
from redis.exceptions import RedisError

from api.access.addresses import counted_address
from api.access.caller import ApiCaller
from api.http.problems import Problem
from tickplant import metrics
from tickplant.outage import OutageLog
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_wrong_type
from tickplant.redis_exchange import Script
from tickplant.redis_values import RedisValues

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 0.5
"""How long a request waits for Redis before this process decides."""
_PAUSE_S: Final = 2.0
"""How long Redis is not asked after it has failed."""
_MAX_BUCKETS: Final = 10_000
"""Buckets that a process holds while Redis is unavailable; the least recently used is dropped."""
_US: Final = 1_000_000


class RequestLimit(Struct, frozen=True):
    """How many requests a key or an address may send: so many at once, and so many in each window."""

    requests: int = 0
    """0: any number."""
    window_s: int = 60


class Decision(NamedTuple):
    """What became of a request, in microseconds."""

    remaining: int
    """How many requests may be sent at once after it; -1 if it is refused."""
    full_us: int
    """When that are all again."""
    wait_us: int
    """When the next one may be sent; 0 for now."""


def take(full_at_us: int, now_us: int, limit: RequestLimit) -> tuple[int, Decision]:
    """Count a request, unless it is refused; return when the bucket is full again, and the decision.

    Args:
        full_at_us: when it would be full without this request.
        now_us: the time on the same clock.
        limit: the bucket's size, and how fast it fills.
    """
    each_us = limit.window_s * _US // limit.requests
    later_us = max(full_at_us, now_us) + each_us
    room_us = now_us + each_us * limit.requests - later_us
    if room_us < 0:
        return full_at_us, Decision(-1, full_at_us - now_us, -room_us)
    remaining = room_us // each_us
    return later_us, Decision(remaining, later_us - now_us, 0 if remaining else each_us - room_us)


_TAKE: Final = Script("""
local time = redis.call('TIME')
local now, each, requests = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1])) or now
if not (full <= now + each * requests) then full = now end
local later = math.max(full, now) + each
local room = now + each * requests - later
if room < 0 then
    return {-1, full - now, -room}
end
redis.call('SET', KEYS[1], string.format('%.0f', later), 'PX', math.ceil((later - now) / 1000))
local remaining = math.floor(room / each)
return {remaining, later - now, remaining > 0 and 0 or each - room}
""")
"""As `take`, by Redis's clock."""


class RequestLimiter:
    """Counts requests in Redis."""

    def __init__(self, redis: RedisClient, limit: RequestLimit) -> None:
        """Take the limit; the caller closes the client."""
        self._redis = redis
        self._limit = limit
        self._full_at_us: OrderedDict[str, int] = OrderedDict()
        self._retry_at_s = 0.0
        self._values = RedisValues()
        self._outage = OutageLog(
            _log, "rate limits: Redis is unavailable, each process counts alone", "rate limits: shared again"
        )
        metrics.API_RATE_REFUSALS.inc(0)

    async def admit(self, caller: ApiCaller, address: str) -> dict[str, str]:
        """Count a request; return the headers of its response.

        Raises:
            Problem: it is one too many.
        """
        identity = self._identity(caller, address)
        if identity is None:
            return {}
        decision = await self._decide(identity)
        headers = self._headers(decision)
        if decision.remaining >= 0:
            return headers
        metrics.API_RATE_REFUSALS.inc()
        wait_s = _seconds(decision.wait_us)
        raise Problem(
            429,
            "too_many_requests",
            f"more than {self._limit.requests} requests in {self._limit.window_s} s: wait {wait_s} s;"
            " the limit is TICKPLANT_API_RATE_REQUESTS",
            headers=headers | {"Retry-After": str(wait_s)},
        )

    def _identity(self, caller: ApiCaller, address: str) -> str | None:
        """Return what is counted together; None for what is not limited: programs of this machine."""
        if not self._limit.requests:
            return None
        if caller.key_id is not None:
            return f"key:{caller.key_id}"
        counted = counted_address(address)
        return None if counted is None else f"address:{counted}"

    async def _decide(self, identity: str) -> Decision:
        clock_s = asyncio.get_running_loop().time
        if clock_s() >= self._retry_at_s:
            limit = self._limit
            each_us = limit.window_s * _US // limit.requests
            key = f"api_rate:{identity}"
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    (answer,) = await self._redis.exchange((_TAKE, 1, key, each_us, limit.requests))
            except (*OUTAGE, RedisError, TimeoutError) as error:
                if is_wrong_type(error):
                    self._values.note_refused(key, error)
                    return self._decide_alone(identity, int(clock_s() * _US))
                self._retry_at_s = clock_s() + _PAUSE_S
                self._outage.note_failure(error)
            else:
                self._outage.note_success()
                return Decision(*map(int, answer))
        return self._decide_alone(identity, int(clock_s() * _US))

    def _decide_alone(self, identity: str, now_us: int) -> Decision:
        metrics.API_RATE_FALLBACKS.inc()
        full_at_us = self._full_at_us.pop(identity, now_us)
        self._full_at_us[identity], decision = take(full_at_us, now_us, self._limit)
        if len(self._full_at_us) > _MAX_BUCKETS:
            self._full_at_us.popitem(last=False)
        return decision

    def _headers(self, decision: Decision) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers-10."""
        remaining = max(0, decision.remaining)
        return {
            "RateLimit-Policy": f'"default";q={self._limit.requests};w={self._limit.window_s}',
            "RateLimit": f'"default";r={remaining};t={_seconds(decision.full_us)}',
        }


def _seconds(us: int) -> int:
    return max(0, math.ceil(us / _US))
