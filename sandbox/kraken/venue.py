"""Kraken spot as a venue of the sandbox."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.frames import View
from sandbox.kraken import frames
from sandbox.kraken.rest import KrakenRest, refuse
from sandbox.kraken.session import KrakenSession
from sandbox.limits import SandboxLimits
from sandbox.rows import fit_symbols, keep_rows
from sandbox.typical_trades import typical_trade
from sandbox.venue import (
    Answer,
    BadAddressError,
    ParsedFrame,
    SandboxMarket,
    SyntheticTrade,
    TypicalTrade,
    ViewFit,
)
from tickplant.market import Trade

_SYMBOL: Final = re.compile(r"[A-Z0-9.]+/[A-Z0-9.]+")
_REASONS: Final = {404: "EGeneral:Unknown method", 429: "EGeneral:Too many requests"}


class SandboxKraken:
    """Kraken spot."""

    name = frames.VENUE
    numbered = True
    acknowledges = True
    example = "BTC/USD"
    places = 0
    limits = SandboxLimits(
        messages_per_s=10,
        streams_per_connection=1000,
        connects=150,
        connects_window_s=600,
        requests=15,
        requests_window_s=15,
    )

    def is_symbol(self, name: str) -> bool:
        """Return whether a name has the form of its symbols."""
        return _SYMBOL.fullmatch(name) is not None

    def usual(self, symbol: str) -> TypicalTrade | None:
        """Return the typical trade of a symbol."""
        return typical_trade(symbol.partition("/")[0])

    def recognises(self, message: dict[str, Any]) -> bool:
        """Return whether a decoded frame is Kraken's."""
        return frames.recognises(message)

    def parse_frame(self, frame: bytes, receive_time_us: int) -> ParsedFrame | None:
        """Parse one recorded frame."""
        return frames.parse_frame(frame, receive_time_us)

    def read_trades(self, text: bytes) -> Sequence[Trade]:
        """Read the trades in a text."""
        return frames.read_trades(text)

    def encode_order(self, symbol: str, order: Sequence[SyntheticTrade], time_us: int) -> list[bytes]:
        """Return one text with all trades."""
        return [frames.encode_trades(symbol, order, time_us)]

    def stream_of(self, symbol: str) -> str:
        """Return the name of the stream of a symbol's trades."""
        return symbol

    def fit(self, stream: str, view: View) -> ViewFit:
        """Return what becomes of a stream's frames for a view."""
        return fit_symbols(stream, view)

    def style(self, text: bytes, stream: str, view: View) -> bytes:
        """Return a text with only those trades that a view asks for."""
        return keep_rows(text, "symbol", view)

    def open_session(self, path: str, market: SandboxMarket, now_us: Callable[[], int]) -> KrakenSession:
        """Return a session; there is one address for all."""
        if urlsplit(path).path not in ("/v2", "/"):
            raise BadAddressError("websocket v2 is at /v2")
        return KrakenSession(market, now_us)

    def open_rest(
        self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]
    ) -> KrakenRest:
        """Return the REST interface."""
        return KrakenRest(market, limits, clock_us)

    def is_history(self, path: str) -> bool:
        """Return whether a path is one of history: trades, or candles made of them."""
        return path in ("/0/public/Trades", "/0/public/OHLC")

    def refusal(self, status: int, message: str) -> Answer:
        """Return an error object."""
        return refuse(status, _REASONS.get(status, f"EService:Unavailable: {message}"))

    def shutdown_notice(self, view: View, now_us: int) -> str:
        """Return the state of the trading engine, which is how Kraken announces an end."""
        return '{"channel":"status","type":"update","data":[{"system":"maintenance","api_version":"v2"}]}'
