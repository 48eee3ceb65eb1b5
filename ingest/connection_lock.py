"""Taking turns at a venue that allows one connection only, over all ingest processes on one Redis."""

import asyncio
import secrets
from typing import Any, Final

from redis.exceptions import RedisError

from tickplant.redis_client import OUTAGE, RedisClient, is_passing, until_answered

_TTL_MS: Final = 10_000
_POLL_S: Final = 1.0

_TAKE: Final = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE_BACK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class ConnectionLock:
    """The right to be connected; others wait until it is given back, or its holder is silent for 10 s."""

    def __init__(self, redis: RedisClient, venue: str) -> None:
        """Take an open client, which stays the caller's, and the venue's name."""
        self._redis: Any = redis
        self._key = f"turn:{venue}"
        self._owner = secrets.token_hex(8)

    async def take(self) -> None:
        """Wait for it."""
        while not await until_answered(self._try):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)

    async def keep(self) -> bool:
        """Say that it is still in use; to be called every second or two.

        Returns:
            Whether it is; if not, another has it. While Redis is unavailable, nobody else can take it.
        """
        try:
            return await self._try()
        except (*OUTAGE, RedisError) as error:
            if not is_passing(error):
                raise
            return True

    async def _try(self) -> bool:
        """Take it unless another has it; say whether it is ours."""
        return bool(await self._redis.eval(_TAKE, 1, self._key, self._owner, _TTL_MS))

    async def give_back(self) -> None:
        """Let others have it."""
        await self._redis.eval(_GIVE_BACK, 1, self._key, self._owner)
