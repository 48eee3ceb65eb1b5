"""Reads last prices, alone and joined with averages and signals, from Redis or the database."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from api.live.cursor import STREAM_START, Order
from api.live.stream_reader import readable
from api.queries.history import StoredHistory
from tickplant import metrics, wire
from tickplant.derived import Unified
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Script
from tickplant.redis_values import RedisValues
from tickplant.streams import (
    CANDLES_ROLE,
    entry_order,
    live_stream,
    owner_key,
    prices_key,
    unified_key,
)
from tickplant.trade_rules import reject_reason

# A worker writes the price, its live update and the update's id in one transaction; they are read in one,
# too. The id alone is cheap: an update may have a megabyte. A worker of a former version writes none, and an
# update in a stream that was deleted never reaches a reader. An id that is none, or in the future, is another
# program's.
_READ: Final = Script("""
local noted = redis.call('XLEN', KEYS[2]) > 0 and redis.call('HGET', KEYS[3], 'live')
local ms, seq = string.match(noted or '', '^(%d+)-(%d+)$')
local update = ms and #seq < 16 and tonumber(ms) < (redis.call('TIME')[1] + 1) * 1000 and noted
if not update then
    local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
    update = last[1] and last[1][1] or false
end
return {redis.call('HGET', KEYS[1], ARGV[1]), update, noted ~= update and noted}
""")

_unified_decoder: Final = msgspec.json.Decoder(Unified)


T = TypeVar("T")


class Prices:
    """Reads last prices."""

    def __init__(self, redis: RedisClient, history: StoredHistory) -> None:
        """Read with a client, which the caller closes, or else from the history."""
        self._history = history
        self._redis = redis
        self._values = RedisValues()

    async def read(self, symbol: SymbolId) -> tuple[Trade | None, Order]:
        """Return a symbol's last trade, and the last live update by then.

        Raises:
            RedisError: one of `tickplant.redis_errors.OUTAGE`; or of `db.pool.OUTAGE` where Redis has none.
        """
        payload, update = await self._read_last(prices_key, symbol)
        trade = _decode(wire.decode_trade, payload)
        if trade is None or reject_reason(trade) is not None:
            trade = await self._history.last_trade(symbol)
        return trade, update

    async def read_unified(self, symbol: SymbolId) -> tuple[Unified | None, Order]:
        """Return a symbol's last price joined with averages and signals, and the last live update by then.

        Raises:
            RedisError: one of `tickplant.redis_errors.OUTAGE`.
        """
        payload, update = await self._read_last(unified_key, symbol)
        return _decode(_unified_decoder.decode, payload), update

    async def _read_last(self, key: Callable[[int], str], symbol: SymbolId) -> tuple[bytes | None, Order]:
        partition = self._history.partition_of(symbol)
        keys = [key(partition), live_stream(partition), owner_key(CANDLES_ROLE, partition)]
        with readable():
            (answer,) = await self._redis.exchange((_READ, len(keys), *keys, str(symbol)))
        payload, last, odd = answer
        if odd:
            self._values.note_invalid(keys[2], "live", f"{odd[:40]!r} is no live update")
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
