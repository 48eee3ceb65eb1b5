"""Binance spot as a venue of the sandbox."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.binance import frames
from sandbox.binance.endpoints import HISTORY
from sandbox.binance.rest import BinanceRest, json_answer
from sandbox.binance.session import BinanceSession, Style, open_session, shutdown_notice
from sandbox.frames import View
from sandbox.limits import SandboxLimits
from sandbox.typical_trades import COINS
from sandbox.venue import Answer, ParsedFrame, SandboxMarket, SyntheticTrade, TypicalTrade, ViewFit
from tickplant.market import Trade

KNOWN: Final = {f"{coin}USDT": usual for coin, usual in COINS.items()}

_SYMBOL: Final = re.compile(r"[A-Z0-9]+")
_ERROR_CODES: Final = {418: -1003, 429: -1003}


class SandboxBinance:
    """Binance spot."""

    name = frames.VENUE
    numbered = True
    acknowledges = True
    example = "BTCUSDT"
    places = 8
    limits = SandboxLimits(
        messages_per_s=5,
        counts_control_frames=True,
        streams_per_connection=1024,
        connects=300,
        connects_window_s=300,
        ban_status=418,
        requests=6_000,
        requests_window_s=60,
    )

    def is_symbol(self, name: str) -> bool:
        """Return whether a name has the form of its symbols."""
        return _SYMBOL.fullmatch(name) is not None

    def usual(self, symbol: str) -> TypicalTrade | None:
        """Return the typical trade of a symbol."""
        return KNOWN.get(symbol)

    def recognises(self, message: dict[str, Any]) -> bool:
        """Return whether a decoded frame is Binance's."""
        return frames.recognises(message)

    def parse_frame(self, frame: bytes, receive_time_us: int) -> ParsedFrame:
        """Parse one recorded frame."""
        return frames.parse_frame(frame, receive_time_us)

    def read_trades(self, text: bytes) -> Sequence[Trade]:
        """Read the trade in a text."""
        return (frames.read_trade(text),)

    def encode_order(self, symbol: str, order: Sequence[SyntheticTrade], time_us: int) -> list[bytes]:
        """Return one text a trade, in its envelope and in microseconds."""
        stream = frames.trade_stream(symbol)
        return [
            frames.wrap(
                stream,
                frames.encode_payload(
                    symbol,
                    made.trade_id,
                    made.price,
                    made.size,
                    time_us,
                    time_us,
                    buyer_is_maker=made.side == "sell",
                ).encode(),
            )
            for made in order
        ]

    def stream_of(self, symbol: str) -> str:
        """Return the name of the stream of a symbol's trades."""
        return frames.trade_stream(symbol)

    def fit(self, stream: str, view: View) -> ViewFit:
        """Return what becomes of a stream: a symbol's trades bring its other frames along."""
        trades = [name for name in view.streams if name.endswith("@trade")]
        wanted = stream in view.streams or any(
            not stream or frames.is_of_symbol(stream, name) for name in trades
        )
        if not wanted:
            return ViewFit.NONE
        return ViewFit.AS_IT_LIES if view.style == Style(combined=True, micro=True) else ViewFit.STYLED

    def style(self, text: bytes, stream: str, view: View) -> bytes:
        """Return a text in the form and the unit that a view asks for."""
        assert isinstance(view.style, Style)
        return frames.style(text, stream, combined=view.style.combined, micro=view.style.micro)

    def open_session(self, path: str, market: SandboxMarket, now_us: Callable[[], int]) -> BinanceSession:
        """Return the session that an address asks for; anything of the right form can be subscribed to."""
        return open_session(path)

    def open_rest(
        self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]
    ) -> BinanceRest:
        """Return the REST interface."""
        return BinanceRest(market, limits, clock_us)

    def is_history(self, path: str) -> bool:
        """Return whether a path is one of history: trades, or candles made of them."""
        return path in HISTORY

    def refusal(self, status: int, message: str) -> Answer:
        """Return an error object."""
        return json_answer(status, {"code": _ERROR_CODES.get(status, -1000), "msg": message})

    def shutdown_notice(self, view: View, now_us: int) -> str:
        """Return the event that announces the server's end to a connection."""
        return shutdown_notice(view, now_us)
