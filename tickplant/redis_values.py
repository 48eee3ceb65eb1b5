"""Notes values in Redis that tickplant can't have written: each is ignored, counted, and logged once."""

import logging
import re
from collections.abc import Callable
from typing import Final, TypeVar

from redis.exceptions import RedisError

from tickplant import metrics
from tickplant.errors import PoisonError
from tickplant.streams import entry_order

_log = logging.getLogger(__name__)

_MOST_LOGGED: Final = 1_000
_MOST_DIGITS: Final = 15
_ENTRY_ID: Final = re.compile(rb"[0-9]{1,15}-[0-9]{1,15}")
_T = TypeVar("_T")


class RedisValues:
    """Decodes values one by one: an invalid one is left out, counted, and logged once until it is valid."""

    def __init__(self) -> None:
        self._invalid: set[tuple[str, str]] = set()

    def read(self, key: str, field: str, payload: bytes | None, decode: Callable[[bytes], _T]) -> _T | None:
        """Return a value; None if there is none or it is invalid.

        Args:
            key: of the value, or of the hash that has it.
            field: its name in the hash; empty for a key without fields.
            payload: as read from Redis.
            decode: raises PoisonError or ValueError if the payload is invalid.
        """
        if not payload:
            return None
        try:
            value = decode(payload)
        except (PoisonError, ValueError) as error:
            self.note_invalid(key, field, str(error))
            return None
        self._invalid.discard((key, field))
        return value

    def note_refused(self, key: str, error: RedisError) -> None:
        """Note that Redis refuses to read or write a key, as it holds another type."""
        self.note_invalid(key, "", str(error))

    def note_invalid(self, key: str, field: str, reason: str) -> None:
        """Note that a value is ignored."""
        metrics.REDIS_INVALID_VALUES.labels(key.partition(":")[0]).inc()
        if (key, field) not in self._invalid and len(self._invalid) < _MOST_LOGGED:
            self._invalid.add((key, field))
            place = f"{key}, field {field}" if field else f"{key}"
            _log.warning(
                "Redis: %s: ignored, as another program has written it: %s; delete it", place, reason
            )


def parse_entry_id(payload: bytes) -> tuple[int, int]:
    """Return the order of an entry id.

    Raises:
        ValueError: it is none.
    """
    if not _ENTRY_ID.fullmatch(payload):
        raise ValueError(f"{payload[:40]!r} is no entry id")
    return entry_order(payload.decode())


def parse_count(payload: bytes) -> int:
    """Return a number of entries.

    Raises:
        ValueError: it is none.
    """
    if not payload.isdigit() or len(payload) > _MOST_DIGITS:
        raise ValueError(f"{payload[:40]!r} is no number of entries")
    return int(payload)
