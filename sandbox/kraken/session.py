"""What one websocket connection of Kraken's v2 asks for, and what it is sent besides frames.

    {"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true},"req_id":1}
    -> {"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"},"success":true,
        "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z","req_id":1}
    -> {"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",
        "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z","req_id":1}

One answer a symbol; then, where one was asked for, a snapshot of the symbol's latest 50 trades.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from sandbox.frames import View
from sandbox.kraken.frames import VENUE, encode_snapshot
from sandbox.times import rfc3339
from sandbox.venue import SandboxMarket
from tickplant.market import SymbolId

_SNAPSHOT: Final = 50
_HEARTBEAT: Final = '{"channel":"heartbeat"}'
_STATUS: Final = {
    "system": "online",
    "api_version": "v2",
    "connection_id": 12393906104898154338,
    "version": "2.0.10",
}


class _Params(Struct):
    channel: str
    symbol: list[str] = []
    snapshot: bool = False


class _Request(Struct):
    method: str
    params: _Params | None = None
    req_id: int | None = None


_decode = msgspec.json.Decoder(_Request).decode


class KrakenSession:
    """The state of one connection.

    Args:
        market: its symbols and trades.
        now_us: the venue's time, as this connection sees it.
    """

    def __init__(self, market: SandboxMarket, now_us: Callable[[], int]) -> None:
        self._market = market
        self._now_us = now_us
        self._beats = False
        self.view = View(frozenset())

    def greet(self) -> list[str]:
        """Return the state of the trading engine."""
        return [_encode({"channel": "status", "type": "update", "data": [_STATUS]})]

    def receive(self, message: str | bytes) -> list[str]:
        """Handle a request and return the answers."""
        try:
            request = _decode(message)
        except msgspec.DecodeError as error:
            return [self._answer(_Request(""), {"error": f"Malformed request: {error}", "success": False})]
        if request.method == "ping":
            return [self._answer(_Request("pong", req_id=request.req_id), {})]
        if request.method not in ("subscribe", "unsubscribe") or request.params is None:
            return [self._answer(request, {"error": "Unsupported method", "success": False})]
        if request.params.channel == "heartbeat":
            self._beats = request.method == "subscribe"
            return [self._answer(request, {"result": {"channel": "heartbeat"}, "success": True})]
        if request.params.channel != "trade":
            return [self._answer(request, {"error": "Channel not supported", "success": False})]
        if not request.params.symbol:
            return [self._answer(request, {"error": "Symbol(s) not found", "success": False})]
        return [text for symbol in request.params.symbol for text in self._change(request, symbol)]

    def refuse(self, message: str | bytes) -> list[str] | None:
        """Return the refusal of a subscription; None where the message isn't one."""
        try:
            request = _decode(message)
        except msgspec.DecodeError:
            return None
        if request.method != "subscribe" or request.params is None:
            return None
        return [self._refuse(request, symbol, "Service unavailable") for symbol in request.params.symbol]

    def beat(self, *, quiet: bool) -> list[str]:
        """Return a heartbeat if there was nothing else, once anything is subscribed to."""
        return [_HEARTBEAT] if quiet and self._beats else []

    def _change(self, request: _Request, symbol: str) -> list[str]:
        assert request.params is not None
        known, streams = SymbolId(VENUE, symbol) in self._market.symbols, self.view.streams
        if not known:
            return [self._refuse(request, symbol, f"Currency pair not supported {symbol}")]
        if request.method == "unsubscribe":
            if symbol not in streams:
                return [self._refuse(request, symbol, "Subscription Not Found")]
            self.view = View(streams - {symbol})
            return [self._accept(request, {"channel": "trade", "symbol": symbol})]
        if symbol in streams:
            return [self._refuse(request, symbol, "Already subscribed")]
        self.view, self._beats = View(streams | {symbol}), True
        snapshot = request.params.snapshot
        answer = self._accept(request, {"channel": "trade", "snapshot": snapshot, "symbol": symbol})
        return [answer, *self._snapshot(symbol)] if snapshot else [answer]

    def _snapshot(self, symbol: str) -> list[str]:
        trades = self._market.history(SymbolId(VENUE, symbol)).latest(_SNAPSHOT)
        return [encode_snapshot(trades)] if trades else []

    def _accept(self, request: _Request, result: dict[str, Any]) -> str:
        return self._answer(request, {"result": result, "success": True})

    def _refuse(self, request: _Request, symbol: str, reason: str) -> str:
        return self._answer(request, {"error": reason, "success": False, "symbol": symbol})

    def _answer(self, request: _Request, content: dict[str, Any]) -> str:
        time = rfc3339(self._now_us())
        answer = {"method": request.method, **content, "time_in": time, "time_out": time}
        return _encode(answer if request.req_id is None else {**answer, "req_id": request.req_id})


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
