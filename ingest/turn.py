"""Taking turns at a venue that allows one connection only, over all ingest processes on one Redis."""

import asyncio
import secrets
from typing import Any, Final

from tickplant.redis_client import RedisClient, until_answered

_TTL_MS: Final = 10_000
_POLL_S: Final = 1.0

_KEEP: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_GIVE_BACK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Turn:
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

    async def _try(self) -> Any:
        return await self._redis.set(self._key, self._owner, nx=True, px=_TTL_MS)

    async def keep(self) -> bool:
        """Say that it is still in use; to be called every second or two.

        Returns:
            Whether it is; if not, another has it.
        """
        return bool(await self._redis.eval(_KEEP, 1, self._key, self._owner, _TTL_MS))

    async def give_back(self) -> None:
        """Let others have it."""
        await self._redis.eval(_GIVE_BACK, 1, self._key, self._owner)
