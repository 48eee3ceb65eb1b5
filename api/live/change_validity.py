"""Which changes of a live update can be sent: what Redis holds may be of any content. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from api.live.channel_states import EntryTrades
from tickplant.kernel import TradeColumns, decode_columns
from tickplant.market import Candle
from tickplant.streams import entry_order
from tickplant.trade_rules import LATEST_US, reject_reason
from tickplant.wire import LiveUpdate

T = TypeVar("T")

_MOST_DIGITS: Final = 200
"""Before or after the point, in a decimal of a candle."""

_encode: Final = msgspec.json.Encoder().encode


def encodes(view: Callable[[T], Any]) -> Callable[[T], bool]:
    """Return a function that says whether the view of a change exists and can be encoded."""

    def valid(change: T) -> bool:
        try:
            _encode(view(change))
        except (ValueError, ArithmeticError, LookupError, TypeError):
            return False
        return True

    return valid


def is_valid_candle(candle: Candle) -> bool:
    """Return whether a candle can be sent."""
    decimals = (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_volume)
    taker = (candle.taker_buy_volume, candle.taker_buy_quote_volume)
    return 0 <= candle.open_time_us < LATEST_US and all(
        number is None or (number.is_finite() and abs(number.adjusted()) < _MOST_DIGITS)
        for number in (*decimals, *taker)
    )


def decode_entries(update: LiveUpdate) -> Iterable[EntryTrades]:
    """Yield the valid trades of each input entry and symbol; there may be none.

    Raises:
        PoisonError: something is no batch of trades.
    """
    for entry in update.entries:
        order = entry_order(entry.entry_id)
        for columns in decode_columns(bytes(entry.trades)):
            yield EntryTrades(order, columns if columns.valid() else _valid_trades(columns))


def _valid_trades(columns: TradeColumns) -> TradeColumns:
    return columns.select(
        [index for index, trade in enumerate(columns.trades()) if reject_reason(trade) is None]
    )
