"""The client of one API."""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final

import httpx
import msgspec

from tickplant.client.connection import follow
from tickplant.client.history import Rest
from tickplant.client.messages import Candle, Message, Trade
from tickplant.client.progress import CandleProgress, TradeProgress
from tickplant.client.series import Kind, Series
from tickplant.client.subscription import ChannelSubscription

_CANDLES: Final = Kind(Candle, "ohlcv", lambda page: page.candles, CandleProgress)
_TRADES: Final = Kind(Trade, "trades", lambda page: page.trades, TradeProgress)
_TIMEOUT_S: Final = 30


class Plant:
    """An API of tickplant; use it as an asynchronous context manager.

    Every live iterator has a websocket of its own: one that reads slowly delays no other.
    """

    def __init__(self, url: str = "http://127.0.0.1:8080", *, key: str | None = None) -> None:
        """Prepare a client; nothing is requested yet.

        Args:
            url: the API's address.
            key: an API key, where one is needed.
        """
        base = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=_TIMEOUT_S)
        self._rest = Rest(self._http)
        self._follow = partial(follow, base.replace("http", "ws", 1) + "/ws", headers)

    async def __aenter__(self) -> "Plant":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections for REST; live iterators close their own."""
        await self._http.aclose()

    def candles(
        self, symbol: str, interval: str = "1m", *, closed: bool = False, since: str | None = None
    ) -> Series[Candle]:
        """Return candles of a symbol.

        Args:
            symbol: `venue:symbol`; the venue may be omitted if only one has the symbol.
            interval: such as `1m`.
            closed: only candles that have closed: each again whenever it changes afterwards.
            since: a cursor at which live changes start.
        """
        return Series(
            _CANDLES,
            self._rest,
            self._follow,
            symbol=symbol,
            channel=f"candles:{symbol}:{interval}",
            since=since,
            wanted=lambda candle: candle.closed or not closed,
            interval=interval,
        )

    def trades(self, symbol: str, *, since: str | None = None) -> Series[Trade]:
        """Return trades of a symbol; see `candles`."""
        return Series(
            _TRADES, self._rest, self._follow, symbol=symbol, channel=f"trades:{symbol}", since=since
        )

    def messages(
        self, *channels: str, since: str | Mapping[str, str] | None = None
    ) -> AsyncGenerator[Message, None]:
        """Yield all messages of channels over one websocket, which is opened again whenever it ends.

        Args:
            channels: such as `price:binance:BTCUSDT`; see docs/websocket.md.
            since: where to start: a cursor, or one for each channel by its full name.

        Raises:
            PlantError: the API refuses a channel.
        """
        return self._follow(ChannelSubscription(channels, since))

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return an answer of the API, with decimals as text.

        Args:
            path: below `/api/v1/`, such as `price/binance:BTCUSDT`.
            parameters: those that are None are left out.

        Raises:
            PlantError: the API refuses the request, or can't be reached.
        """
        return msgspec.json.decode(await self._rest.get(path, **parameters))
