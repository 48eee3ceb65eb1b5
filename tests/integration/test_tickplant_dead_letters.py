"""Dead letters are bounded in number, and in memory."""

from typing import Any

from tickplant.dead_letters import MAX_PAYLOAD_BYTES, write_dead_letter
from tickplant.redis_client import open_redis
from tickplant.streams import DEAD_LETTERS


async def test_large_dead_letters_are_cut_and_the_oldest_make_room(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    budget = 1024 * 1024
    for number in range(100):
        await write_dead_letter(
            redis,
            source=f"{number}",
            reason="\ud800" * 100_000,
            payload={b"payload.%d" % part: b"x" * 50_000 for part in range(1_000)},
            kept_bytes=budget,
        )
    assert await redis.memory_usage(DEAD_LETTERS, samples=0) < 1.2 * budget
    letters = [fields for _, fields in await redis.xrange(DEAD_LETTERS)]
    assert letters[-1][b"source"] == b"99"
    assert len(letters) > 3
    for letter in letters:
        assert len(letter[b"reason"]) <= 1_000
        assert sum(len(value) for name, value in letter.items() if b"payload" in name) == MAX_PAYLOAD_BYTES
    await redis.aclose()


async def test_thousands_of_small_dead_letters_are_stored(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    for number in range(300):
        await write_dead_letter(redis, source=f"{number}", reason="bad", payload={b"payload": b"x" * 100})
    assert await redis.xlen(DEAD_LETTERS) == 300
    await redis.aclose()
