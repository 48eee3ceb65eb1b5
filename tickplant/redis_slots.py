"""Which keys a command touches, and in which of Redis Cluster's slots they are. Pure.

Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Final

SLOTS: Final = 16_384

_SCRIPTS: Final = ("EVAL", "EVALSHA")
_READS: Final = ("XREAD", "XREADGROUP")
_SUBCOMMANDS: Final = ("XGROUP", "XINFO", "MEMORY")
_KEYLESS: Final = ("CONFIG", "HELLO", "INFO", "PING", "SCRIPT", "TIME", "WAIT")
_ALL_KEYS: Final = ("DEL", "EXISTS")


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key: of what is in its first braces, where there is something."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        name = name[start + 1 : end]
    return crc_hqx(name, 0) % SLOTS


def keys_of(command: Sequence[Any]) -> Sequence[str | bytes]:
    """Return the keys of a command that tickplant sends; none for one that concerns the whole server."""
    name = command[0].upper() if isinstance(command[0], str) else "EVALSHA"  # a `Script`
    if name in _KEYLESS:
        return ()
    if name in _SCRIPTS:
        count = 1 if isinstance(command[0], str) else 0
        return command[2 + count : 2 + count + int(command[1 + count])]
    if name in _READS:
        streams = command[list(command).index("STREAMS") + 1 :]
        return streams[: len(streams) // 2]
    if name in _SUBCOMMANDS:
        return command[2:3]
    return command[1:] if name in _ALL_KEYS else command[1:2]
