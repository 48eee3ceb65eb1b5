"""The lock for venues that allow one connection, shared by all ingest processes on one Redis."""

import asyncio
import secrets
from typing import Any, Final

from redis.exceptions import RedisError

from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_transient, retry_until_available

_TTL_MS: Final = 10_000
_POLL_S: Final = 1.0

_ACQUIRE: Final = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class ConnectionLock:
    """An exclusive connection lock in Redis; it expires 10 s after its owner last renewed it."""

    def __init__(self, redis: RedisClient, venue: str) -> None:
        """Initialize the lock.

        Args:
            redis: an open client; stays the caller's.
            venue: the venue's name.
        """
        self._redis: Any = redis
        self._key = f"turn:{venue}"
        self._owner = secrets.token_hex(8)

    async def acquire(self) -> None:
        """Wait until the lock is acquired."""
        while not await retry_until_available(self._set):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)

    async def renew(self) -> bool:
        """Extend the lock; to be called every second or two.

        Returns:
            Whether it is still held; False if another process holds it. While Redis is unavailable, the
            lock counts as held, as no other process can acquire it.
        """
        try:
            return await self._set()
        except (*OUTAGE, RedisError) as error:
            if not is_transient(error):
                raise
            return True

    async def _set(self) -> bool:
        """Acquire or extend the lock; return whether it is held."""
        return bool(await self._redis.eval(_ACQUIRE, 1, self._key, self._owner, _TTL_MS))

    async def release(self) -> None:
        """Release the lock if it is held."""
        await self._redis.eval(_RELEASE, 1, self._key, self._owner)
