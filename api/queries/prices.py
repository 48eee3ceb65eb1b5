"""Reads last prices, alone and joined with averages and signals, from Redis or the database."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from api.live.cursor import STREAM_START, Order
from api.live.stream_reader import readable
from api.queries.history import StoredHistory
from tickplant import metrics, wire
from tickplant.derived import Unified
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import RedisClient
from tickplant.streams import PRICES, UNIFIED, entry_order, live_stream
from tickplant.trade_rules import reject_reason

# A worker writes the price and its live update in one transaction; they are read in one, too.
_READ: Final = """
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('HGET', KEYS[1], ARGV[1]), last[1] and last[1][1]}
"""

_unified_decoder: Final = msgspec.json.Decoder(Unified)


T = TypeVar("T")


class Prices:
    """Reads last prices."""

    def __init__(self, redis: RedisClient, history: StoredHistory) -> None:
        """Read with a client, which the caller closes, or else from the history."""
        self._history = history
        client: Any = redis
        self._read = client.register_script(_READ)

    async def read(self, symbol: SymbolId) -> tuple[Trade | None, Order]:
        """Return a symbol's last trade, and the last live update by then.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`; or of `db.pool.OUTAGE` where Redis has none.
        """
        payload, update = await self._read_last(PRICES, symbol)
        trade = _decode(wire.decode_trade, payload)
        if trade is None or reject_reason(trade) is not None:
            trade = await self._history.last_trade(symbol)
        return trade, update

    async def read_unified(self, symbol: SymbolId) -> tuple[Unified | None, Order]:
        """Return a symbol's last price joined with averages and signals, and the last live update by then.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`.
        """
        payload, update = await self._read_last(UNIFIED, symbol)
        return _decode(_unified_decoder.decode, payload), update

    async def _read_last(self, key: str, symbol: SymbolId) -> tuple[bytes | None, Order]:
        live = live_stream(self._history.partition_of(symbol))
        with readable():
            answer = await self._read(keys=[key, live], args=[str(symbol)])
        payload, last = (*answer, None, None)[:2]
        return payload, entry_order(last.decode()) if last else STREAM_START


def _decode(decode: Callable[[bytes], T], payload: bytes | None) -> T | None:
    """Return what Redis holds; None where that is nothing, or can't be decoded."""
    if not payload:
        return None
    try:
        return decode(payload)
    except (PoisonError, *MALFORMED):
        metrics.API_POISON.inc()
        return None
