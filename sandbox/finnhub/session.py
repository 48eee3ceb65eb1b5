"""What one websocket connection of Finnhub asks for, and what it is sent besides frames.

{"type":"subscribe","symbol":"AAPL"}   -> nothing; or {"msg":"Invalid symbol","type":"error"}
{"type":"ping"}                        comes by itself where there is nothing else for a while
"""

from typing import Final

import msgspec
from msgspec import Struct

from sandbox.finnhub.frames import VENUE
from sandbox.frames import View
from sandbox.venue import SandboxMarket
from tickplant.market import SymbolId

_PING: Final = '{"type":"ping"}'
_BEATS_PER_PING: Final = 5
"""The venue pings about once a minute."""


class _Request(Struct):
    type: str
    symbol: str = ""


_decode = msgspec.json.Decoder(_Request).decode


class FinnhubSession:
    """The state of one connection.

    Args:
        market: its symbols and trades.
    """

    def __init__(self, market: SandboxMarket) -> None:
        self._market = market
        self._quiet_beats = 0
        self.view = View(frozenset())

    def greet(self) -> list[str]:
        """Return what a new connection is sent: nothing."""
        return []

    def receive(self, message: str | bytes) -> list[str]:
        """Handle a request; only an invalid one is answered."""
        try:
            request = _decode(message)
        except msgspec.DecodeError:
            return [_error("Invalid message")]
        if request.type == "unsubscribe":
            self.view = View(self.view.streams - {request.symbol})
            return []
        if request.type != "subscribe":
            return [_error("Invalid message type")]
        if SymbolId(VENUE, request.symbol) not in self._market.symbols:
            return [_error("Invalid symbol")]
        self.view = View(self.view.streams | {request.symbol})
        return []

    def refuse(self, message: str | bytes) -> list[str] | None:
        """Return the refusal of a subscription; None where the message isn't one."""
        try:
            subscribes = _decode(message).type == "subscribe"
        except msgspec.DecodeError:
            return None
        return [_error("Subscription failed, please try again")] if subscribes else None

    def beat(self, *, quiet: bool) -> list[str]:
        """Return a ping if there was nothing else for a while."""
        self._quiet_beats = self._quiet_beats + 1 if quiet else 0
        if self._quiet_beats < _BEATS_PER_PING:
            return []
        self._quiet_beats = 0
        return [_PING]


def _error(message: str) -> str:
    return msgspec.json.encode({"msg": message, "type": "error"}).decode()
