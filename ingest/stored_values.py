"""Checks of what ingest reads from hashes in Redis, where other programs can write, too."""

from collections.abc import Iterator, Sequence
from functools import partial

from tickplant.errors import PoisonError
from tickplant.market import Gap, SymbolId, Trade
from tickplant.redis_values import RedisValues
from tickplant.trade_rules import reject_reason
from tickplant.wire import decode_gaps, decode_trade


class StoredValues(RedisValues):
    """Decodes the fields that ingest reads."""

    def trades(
        self, key: str, symbols: Sequence[SymbolId], payloads: Sequence[bytes | None]
    ) -> Iterator[Trade]:
        """Yield the trades of the symbols that have a valid one."""
        for symbol, payload in zip(symbols, payloads, strict=True):
            trade = self.read(key, str(symbol), payload, partial(_trade, symbol))
            if trade is not None:
                yield trade

    def gaps(self, key: str, symbols: Sequence[SymbolId], payloads: Sequence[bytes | None]) -> Iterator[Gap]:
        """Yield the gaps of the symbols whose field is valid."""
        for symbol, payload in zip(symbols, payloads, strict=True):
            yield from (self.read(key, str(symbol), payload, partial(_gaps, symbol)) or ())

    def own_id(self, key: str, venue: str, payload: bytes | None) -> int:
        """Return the greatest own id reserved for a venue; 0 if there is none."""
        return self.read(key, venue, payload, _own_id) or 0


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
