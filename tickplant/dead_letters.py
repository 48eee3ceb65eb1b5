"""Dead letters: invalid inputs, stored for inspection in one capped stream."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Command, Script
from tickplant.streams import DEAD_LETTERS

MAX_DEAD_LETTERS: Final = 10_000
"""About how many of them are stored; the oldest are removed first."""
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
"""About how much memory all of them take."""
MAX_PAYLOAD_BYTES: Final = 65_536
"""Longer payloads are truncated."""
MAX_TEXT_BYTES: Final = 1_000
"""Longer sources and reasons are truncated."""
_MAX_PARTS: Final = 16

# KEYS: dead letters. ARGV: their maximum number and memory, then fields and values.
# MEMORY USAGE estimates by a few entries, so that its cost doesn't grow with the stream.
_WRITE: Final = Script("""
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
local length = redis.call('XLEN', KEYS[1])
while length > 1 and redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', '5') > tonumber(ARGV[2]) do
    length = math.floor(length * 3 / 4)
    redis.call('XTRIM', KEYS[1], 'MAXLEN', length)
end
""")


async def write_dead_letter(
    redis: RedisClient,
    *,
    source: str,
    reason: str,
    payload: Mapping[bytes, bytes],
    kept_bytes: int = MAX_TOTAL_BYTES,
) -> None:
    """Store one invalid input.

    Args:
        redis: an open client.
        source: the connection, or the stream and entry, that it came from.
        reason: why it is invalid.
        payload: its parts by name.
        kept_bytes: about how much memory all dead letters may take.
    """
    await redis.exchange(dead_letter_command(source, reason, payload, kept_bytes))


def dead_letter_command(
    source: str, reason: str, payload: Mapping[bytes, bytes], kept_bytes: int = MAX_TOTAL_BYTES
) -> Command:
    """Return the command that stores one invalid input; see `write_dead_letter`."""
    fields: list[bytes] = [b"source", _bounded(source), b"reason", _bounded(reason)]
    fields += _parts(payload)
    return (_WRITE, 1, DEAD_LETTERS, MAX_DEAD_LETTERS, kept_bytes, *fields)


def _bounded(text: str) -> bytes:
    return text[:MAX_TEXT_BYTES].encode("utf-8", "backslashreplace")[:MAX_TEXT_BYTES]


def _parts(payload: Mapping[bytes, bytes]) -> Iterator[bytes]:
    left = MAX_PAYLOAD_BYTES
    for name, value in islice(payload.items(), _MAX_PARTS):
        yield name[:MAX_TEXT_BYTES]
        yield value[:left]
        left -= len(value[:left])
