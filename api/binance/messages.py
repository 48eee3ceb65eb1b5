"""Messages of Binance's streams, made of this plant's messages; one object for each client. Pure."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from api.binance.streams import Stream
from api.binance.views import milliseconds, mini_message, ticker_message
from api.views.candles import CandleView
from api.views.stats import ChangeView
from api.views.trades import TradeView

T = TypeVar("T")
Message = dict[str, Any]


class StreamState:
    """What one stream of a client has sent, so that a snapshot repeats nothing."""

    def __init__(self, stream: Stream, venue: str) -> None:
        self.stream = stream
        self._venue = venue
        self._last_trade_id: int | None = None
        self._last_trade: tuple[int, str] | None = None
        self._klines: dict[int, Message] = {}

    def messages(self, kind: str, data: Raw, now_ms: int, *, snapshot: bool) -> Iterator[Message]:
        """Yield the messages for one of a channel.

        Args:
            kind: of the channel.
            data: of the message.
            now_ms: the time of the event.
            snapshot: whether it is the whole state of the channel, rather than a change.
        """
        if kind == "candles":
            for candle in _decode(data, CandleView):
                yield from self._kline(candle, now_ms)
        elif kind == "trades":
            yield from self._trades(
                msgspec.json.decode(data, type=list[TradeView]), now_ms, snapshot=snapshot
            )
        elif kind == "price":
            for trade in _decode(data, TradeView):
                self._last_trade = trade.trade_id, trade.size
        else:
            for change in _decode(data, ChangeView):
                yield from self._ticker(change, now_ms)

    def _kline(self, candle: CandleView, now_ms: int) -> Iterator[Message]:
        """Yield a candle if it is one of the two newest and has changed; clients expect no older ones."""
        opened_ms = milliseconds(candle.open_time)
        symbol = self.symbol
        message = {
            "t": opened_ms,
            "T": milliseconds(candle.close_time) - 1,
            "s": symbol,
            "i": self.stream.interval,
            "f": candle.first_trade_id,
            "L": candle.last_trade_id,
            "o": candle.open,
            "c": candle.close,
            "h": candle.high,
            "l": candle.low,
            "v": candle.volume,
            "n": candle.trade_count,
            "x": candle.closed,
            "q": candle.quote_volume,
            "V": candle.taker_buy_volume,
            "Q": candle.taker_buy_quote_volume,
            "B": "0",
        }
        known = self._klines
        if known.get(opened_ms) == message or (len(known) > 1 and opened_ms < min(known)):
            return
        known[opened_ms] = message
        if len(known) > 2:
            del known[min(known)]
        yield {"e": "kline", "E": now_ms, "s": symbol, "k": message}

    def _trades(self, trades: list[TradeView], now_ms: int, *, snapshot: bool) -> Iterator[Message]:
        """Yield trades; of a snapshot only those after the last that was sent, which were lost otherwise."""
        last_id = self._last_trade_id
        for trade in trades:
            self._last_trade_id = trade.trade_id
            if snapshot and (last_id is None or trade.trade_id <= last_id):
                continue
            message = {"E": now_ms, "s": self.symbol, "p": trade.price, "q": trade.size}
            times = {"T": milliseconds(trade.event_time), "m": trade.side == "sell", "M": True}
            number = trade.trade_id
            if self.stream.kind == "trade":
                yield {"e": "trade", **message, "t": number, **times}
            else:
                yield {"e": "aggTrade", **message, "a": number, "f": number, "l": number, **times}

    def _ticker(self, change: ChangeView, now_ms: int) -> Iterator[Message]:
        venue, _, symbol = change.symbol.partition(":")
        if venue != self._venue:
            return
        if self.stream.kind == "miniTicker":
            yield mini_message(change, symbol, now_ms)
        else:
            yield ticker_message(change, self._last_trade, symbol, now_ms)

    symbol = ""
    """As the venue writes it; known from the first message."""


def _decode(data: Raw, kind: type[T]) -> list[T]:
    """Return what a message holds: one, several, or none of a channel without a state yet."""
    decoded: T | list[T] | None = msgspec.json.decode(data, type=kind | list[kind] | None)  # type: ignore[valid-type] # made at run time
    return [] if decoded is None else decoded if isinstance(decoded, list) else [decoded]
