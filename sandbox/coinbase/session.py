"""What one websocket connection of Coinbase Exchange asks for, and what it is sent besides frames.

    {"type":"subscribe","product_ids":["BTC-USD"],
     "channels":["matches",{"name":"heartbeat","product_ids":["BTC-USD"]}]}
    -> {"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null},
        {"name":"heartbeat","product_ids":["BTC-USD"],"account_ids":null}]}
    -> {"type":"last_match", ...}   one for each product of `matches` that is new
    -> {"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}

A message with anything wrong in it changes nothing.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from sandbox.coinbase.frames import VENUE, encode_heartbeat, encode_match
from sandbox.frames import View
from sandbox.venue import SandboxMarket
from tickplant.market import SymbolId

CHANNELS: Final = frozenset(
    {"matches", "heartbeat", "level2", "level2_batch", "ticker", "ticker_batch", "full", "status"}
)
"""Those that can be asked for; only `matches` and `heartbeat` bring anything by themselves."""


class _Channel(Struct):
    name: str
    product_ids: list[str] = []


class _Request(Struct):
    type: str
    product_ids: list[str] = []
    channels: list[Annotated[str, Meta(min_length=1)] | _Channel] = []


class _RefusedError(Exception):
    """The message is the reason."""


_decode = msgspec.json.Decoder(_Request).decode
_FAILED: Final = {"subscribe": "Failed to subscribe", "unsubscribe": "Failed to unsubscribe"}


class CoinbaseSession:
    """The state of one connection.

    Args:
        market: its symbols and trades.
        now_us: the venue's time, as this connection sees it.
    """

    def __init__(self, market: SandboxMarket, now_us: Callable[[], int]) -> None:
        self._market = market
        self._now_us = now_us
        self._channels: dict[str, dict[str, None]] = {}
        self.view = View(frozenset())

    def greet(self) -> list[str]:
        """Return what a new connection is sent: nothing."""
        return []

    def receive(self, message: str | bytes) -> list[str]:
        """Handle a request and return the answers."""
        try:
            request = _parse(message)
        except _RefusedError as error:
            return [_error("Malformed JSON", str(error))]
        before = self.view.streams
        try:
            wished = self._wished(request)
        except _RefusedError as error:
            return [_error(_FAILED[request.type], str(error))]
        self._change(wished, add=request.type == "subscribe")
        new = [name for name in self._channels.get("matches", ()) if name not in before]
        return [self._tell_subscriptions(), *(text for name in new for text in self._last_match(name))]

    def refuse(self, message: str | bytes) -> list[str] | None:
        """Return the refusal of a subscription; None where the message isn't one."""
        try:
            request = _parse(message)
        except _RefusedError:
            return None
        if request.type != "subscribe":
            return None
        return [_error(_FAILED["subscribe"], "Internal error, please try again")]

    def beat(self, *, quiet: bool) -> list[str]:
        """Return the heartbeats of the products that they were asked for."""
        return [self._heartbeat(name) for name in self._channels.get("heartbeat", ())]

    def _wished(self, request: _Request) -> dict[str, list[str]]:
        """Return the products that a request names, by channel."""
        if not request.channels:
            raise _RefusedError("No channels provided")
        wished: dict[str, list[str]] = {}
        for channel in request.channels:
            name = channel if isinstance(channel, str) else channel.name
            products = [] if isinstance(channel, str) else channel.product_ids
            if name not in CHANNELS:
                raise _RefusedError(f"{name} is not a valid channel")
            wished[name] = products or request.product_ids
            if not wished[name] and request.type == "subscribe" and name != "status":
                raise _RefusedError(f"You need to specify at least one product ID for channel {name}")
        for product in (product for products in wished.values() for product in products):
            if SymbolId(VENUE, product) not in self._market.symbols:
                raise _RefusedError(f"{product} is not a valid product")
        return wished

    def _change(self, wished: dict[str, list[str]], *, add: bool) -> None:
        for name, products in wished.items():
            has = self._channels.setdefault(name, {})
            if add:
                has |= dict.fromkeys(products)
            for product in () if add else products or tuple(has):
                has.pop(product, None)
            if not has:
                del self._channels[name]
        self.view = View(frozenset(self._channels.get("matches", ())))

    def _tell_subscriptions(self) -> str:
        channels = [
            {"name": name, "product_ids": list(products), "account_ids": None}
            for name, products in self._channels.items()
        ]
        return _encode({"type": "subscriptions", "channels": channels})

    def _last_match(self, product: str) -> list[str]:
        return [
            encode_match(
                product,
                trade.trade_id,
                trade.price,
                trade.size,
                trade.side,
                trade.event_time_us,
                kind="last_match",
            )
            for trade in self._market.history(SymbolId(VENUE, product)).latest(1)
        ]

    def _heartbeat(self, product: str) -> str:
        latest = self._market.history(SymbolId(VENUE, product)).latest(1)
        return encode_heartbeat(product, latest[0].trade_id if latest else 0, self._now_us())


def _parse(message: str | bytes) -> _Request:
    try:
        request = _decode(message)
    except msgspec.DecodeError as error:
        raise _RefusedError(str(error)) from error
    if request.type not in _FAILED:
        raise _RefusedError(f"{request.type[:60]} is not a valid type")
    return request


def _error(message: str, reason: str) -> str:
    return _encode({"type": "error", "message": message, "reason": reason})


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
