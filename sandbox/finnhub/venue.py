"""Finnhub as a venue of the sandbox."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from sandbox.finnhub import frames
from sandbox.finnhub.session import FinnhubSession
from sandbox.frames import View
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

_SYMBOL: Final = re.compile(r"[A-Z0-9.:_-]+")


class SandboxFinnhub:
    """Finnhub."""

    name = frames.VENUE
    numbered = False
    acknowledges = False
    example = "AAPL"
    places = 0
    limits = SandboxLimits(
        messages_per_s=100,
        streams_per_connection=50,
        connects=60,
        connects_window_s=60,
        requests=30,
        requests_window_s=1,
    )

    def is_symbol(self, name: str) -> bool:
        """Return whether a name has the form of its symbols."""
        return _SYMBOL.fullmatch(name) is not None

    def usual(self, symbol: str) -> TypicalTrade | None:
        """Return the typical trade of a symbol."""
        return typical_trade(symbol)

    def recognises(self, message: dict[str, Any]) -> bool:
        """Return whether a decoded frame is Finnhub's."""
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
        return keep_rows(text, "s", view)

    def open_session(self, path: str, market: SandboxMarket, now_us: Callable[[], int]) -> FinnhubSession:
        """Return a session for anybody who has a key."""
        parts = urlsplit(path)
        if parts.path != "/":
            raise BadAddressError("the trades are at /?token=")
        if not parse_qs(parts.query).get("token"):
            raise BadAddressError("Invalid API key", 401)
        return FinnhubSession(market)

    def open_rest(
        self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]
    ) -> "_NoRest":
        """Return an interface that has nothing."""
        return _NoRest()

    def is_history(self, path: str) -> bool:
        """Return False: there is no history."""
        return False

    def refusal(self, status: int, message: str) -> Answer:
        """Return an error object."""
        return Answer(status, {"Content-Type": "application/json"}, msgspec.json.encode({"error": message}))

    def shutdown_notice(self, view: View, now_us: int) -> None:
        """Return None: Finnhub closes without notice."""


class _NoRest:
    """Finnhub gives no trades over REST."""

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> None:
        """Return None: there are no endpoints."""
