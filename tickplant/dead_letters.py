"""Inputs that could not be understood, kept for inspection in one capped stream."""

from collections.abc import Mapping
from typing import Any, Final

from tickplant.redis_client import RedisClient
from tickplant.streams import DEAD_LETTERS

KEPT: Final = 10_000
"""About how many of them are kept; the oldest go first."""
MOST_BYTES: Final = 65_536
"""How much of one payload is kept."""
MOST_TEXT_BYTES: Final = 1_000
"""How much of a source or a reason is."""


async def keep_dead_letter(
    redis: RedisClient, *, source: str, reason: str, payload: Mapping[bytes, bytes]
) -> None:
    """Keep one input.

    Args:
        redis: an open client.
        source: the connection, or the stream and entry, that it came from.
        reason: why it could not be understood.
        payload: its parts by name.
    """
    fields: dict[Any, Any] = {"source": _bounded(source), "reason": _bounded(reason)}
    fields |= {name: value[:MOST_BYTES] for name, value in payload.items()}
    await redis.xadd(DEAD_LETTERS, fields, maxlen=KEPT, approximate=True)


def _bounded(text: str) -> bytes:
    return text[:MOST_TEXT_BYTES].encode("utf-8", "backslashreplace")[:MOST_TEXT_BYTES]
