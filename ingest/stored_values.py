"""Checks of what ingest reads from hashes in Redis, where other programs can write, too."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from redis.exceptions import RedisError

from tickplant import metrics
from tickplant.errors import PoisonError
from tickplant.market import Gap, SymbolId, Trade
from tickplant.trade_rules import reject_reason
from tickplant.wire import decode_gaps, decode_trade

_log = logging.getLogger(__name__)

_MOST_LOGGED: Final = 1_000
_T = TypeVar("_T")


class StoredValues:
    """Decodes fields one by one: an invalid one is left out, counted, and logged once until it is valid."""

    def __init__(self) -> None:
        self._invalid: set[tuple[str, str]] = set()

    def trades(
        self, key: str, symbols: Sequence[SymbolId], payloads: Sequence[bytes | None]
    ) -> Iterator[Trade]:
        """Yield the trades of the symbols that have a valid one."""
        for symbol, payload in zip(symbols, payloads, strict=True):
            trade = self._read(key, str(symbol), payload, partial(_trade, symbol))
            if trade is not None:
                yield trade

    def gaps(self, key: str, symbols: Sequence[SymbolId], payloads: Sequence[bytes | None]) -> Iterator[Gap]:
        """Yield the gaps of the symbols whose field is valid."""
        for symbol, payload in zip(symbols, payloads, strict=True):
            yield from (self._read(key, str(symbol), payload, partial(_gaps, symbol)) or ())

    def own_id(self, key: str, venue: str, payload: bytes | None) -> int:
        """Return the greatest own id reserved for a venue; 0 if there is none."""
        return self._read(key, venue, payload, _own_id) or 0

    def note_refused(self, key: str, error: RedisError) -> None:
        """Note that Redis refuses to read a key, as it holds another type."""
        self._note_invalid(key, "", str(error))

    def _read(self, key: str, field: str, payload: bytes | None, decode: Callable[[bytes], _T]) -> _T | None:
        """Return the value of a field; None if there is none or it is invalid.

        Args:
            key: of the hash.
            field: its name.
            payload: as read from Redis.
            decode: raises PoisonError or ValueError if the payload is invalid.
        """
        if not payload:
            return None
        try:
            value = decode(payload)
        except (PoisonError, ValueError) as error:
            self._note_invalid(key, field, str(error))
            return None
        self._invalid.discard((key, field))
        return value

    def _note_invalid(self, key: str, field: str, reason: str) -> None:
        metrics.INGEST_INVALID_VALUES.labels(key).inc()
        if (key, field) not in self._invalid and len(self._invalid) < _MOST_LOGGED:
            self._invalid.add((key, field))
            place = f"{key}, field {field}" if field else f"{key}"
            _log.warning(
                "Redis: %s: ignored, as another program has written it: %s; delete it", place, reason
            )


def _trade(symbol: SymbolId, payload: bytes) -> Trade:
    trade = decode_trade(payload)
    if (trade.venue, trade.symbol) != symbol:
        raise PoisonError(f"a trade of {trade.venue}:{trade.symbol}")
    if (reason := reject_reason(trade)) is not None:
        raise PoisonError(reason)
    return trade


def _gaps(symbol: SymbolId, payload: bytes) -> list[Gap]:
    gaps = decode_gaps(payload)
    for gap in gaps:
        if (gap.venue, gap.symbol) != symbol or not 0 <= gap.first_id <= gap.last_id:
            raise PoisonError(f"not a gap of it: {gap}")
    return gaps


def _own_id(payload: bytes) -> int:
    own_id = int(payload)
    if not 0 <= own_id < 1 << 62:
        raise PoisonError(f"not an id: {own_id}")
    return own_id
