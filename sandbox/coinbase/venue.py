"""Coinbase Exchange as a venue of the sandbox."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.coinbase import frames
from sandbox.coinbase.rest import CoinbaseRest, refuse
from sandbox.coinbase.session import CoinbaseSession
from sandbox.frames import View
from sandbox.limits import SandboxLimits
from sandbox.rows import fit_symbols
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

_SYMBOL: Final = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_HISTORY: Final = re.compile(r"/products/[^/]+/(trades|candles)")


class SandboxCoinbase:
    """Coinbase Exchange."""

    name = frames.VENUE
    numbered = True
    acknowledges = True
    example = "BTC-USD"
    places = 0
    limits = SandboxLimits(
        messages_per_s=100,
        streams_per_connection=1000,
        connects=20,
        connects_window_s=2.5,
        subscribe_within_s=5,
        requests=15,
        requests_window_s=1,
    )

    def is_symbol(self, name: str) -> bool:
        """Return whether a name has the form of its symbols."""
        return _SYMBOL.fullmatch(name) is not None

    def usual(self, symbol: str) -> TypicalTrade | None:
        """Return the typical trade of a symbol."""
        return typical_trade(symbol.partition("-")[0])

    def recognises(self, message: dict[str, Any]) -> bool:
        """Return whether a decoded frame is Coinbase's."""
        return frames.recognises(message)

    def parse_frame(self, frame: bytes, receive_time_us: int) -> ParsedFrame | None:
        """Parse one recorded frame."""
        return frames.parse_frame(frame, receive_time_us)

    def read_trades(self, text: bytes) -> Sequence[Trade]:
        """Read the trade in a text."""
        return (frames.read_trade(text),)

    def encode_order(self, symbol: str, order: Sequence[SyntheticTrade], time_us: int) -> list[bytes]:
        """Return one text a trade."""
        return [
            frames.encode_match(symbol, made.trade_id, made.price, made.size, made.side, time_us).encode()
            for made in order
        ]

    def stream_of(self, symbol: str) -> str:
        """Return the name of the stream of a symbol's trades."""
        return symbol

    def fit(self, stream: str, view: View) -> ViewFit:
        """Return what becomes of a stream's frames for a view."""
        return fit_symbols(stream, view)

    def style(self, text: bytes, stream: str, view: View) -> bytes:
        """Return a text as it is: there is only one form."""
        return text

    def open_session(self, path: str, market: SandboxMarket, now_us: Callable[[], int]) -> CoinbaseSession:
        """Return a session; there is one address for all."""
        if urlsplit(path).path != "/":
            raise BadAddressError("the feed is at /")
        return CoinbaseSession(market, now_us)

    def open_rest(
        self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]
    ) -> CoinbaseRest:
        """Return the REST interface."""
        return CoinbaseRest(market, limits, clock_us)

    def is_history(self, path: str) -> bool:
        """Return whether a path is one of history: trades, or candles made of them."""
        return _HISTORY.fullmatch(path) is not None

    def refusal(self, status: int, message: str) -> Answer:
        """Return an error object."""
        return refuse(status, message)

    def shutdown_notice(self, view: View, now_us: int) -> None:
        """Return None: Coinbase closes without notice."""
