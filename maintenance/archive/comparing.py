"""Compares an archived day with the venue's own candles, where these are to be had."""

import asyncio
from contextlib import AsyncExitStack
from datetime import date
from types import TracebackType
from typing import Final

from redis.exceptions import RedisError

from db.archive_rows import day_start
from db.audit import read_minutes
from db.pool import snapshot
from maintenance.archive.manifest import VenueComparison
from maintenance.symbol import SymbolMaintenance, open_symbol
from tickplant.errors import FatalError
from tickplant.intervals import DAY_US
from tickplant.klines import Comparison, compare
from tickplant.market import SymbolId
from tickplant.redis_errors import redis_error
from tickplant.settings import Settings
from tickplant.times import to_us

_ANSWER_S: Final = 60.0
"""The longest wait for a day's candles."""
_READ_S: Final = 60.0


class VenueComparer:
    """Compares days with their venues' candles; a venue that doesn't answer is asked once only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._open: tuple[SymbolId, SymbolMaintenance | str] | None = None
        self._silent: dict[str, str] = {}

    async def __aenter__(self) -> "VenueComparer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def compare(self, symbol: SymbolId, day: date) -> VenueComparison | str:
        """Compare a day; return why, if that can't be done."""
        if symbol.venue in self._silent:
            return self._silent[symbol.venue]
        target = await self._target(symbol)
        if isinstance(target, str):
            return target
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await _compare(target, day)
        except TimeoutError:
            reason = f"{symbol.venue} did not answer within {_ANSWER_S:.0f} s"
            self._silent[symbol.venue] = reason
            return reason
        except RedisError as error:
            return str(redis_error(error))
        except FatalError as error:
            return str(error)

    async def _target(self, symbol: SymbolId) -> SymbolMaintenance | str:
        if self._open is None or self._open[0] != symbol:
            await self._stack.aclose()
            self._stack = AsyncExitStack()
            opened: SymbolMaintenance | str
            try:
                opened = await self._stack.enter_async_context(
                    open_symbol(self._settings, str(symbol), application="tickplant archive")
                )
            except FatalError as error:
                opened = str(error)
            self._open = symbol, opened
        return self._open[1]


async def _compare(target: SymbolMaintenance, day: date) -> VenueComparison:
    start_us = to_us(day_start(day))
    comparison = Comparison()
    async for klines in target.read_klines(start_us, start_us + DAY_US):
        times = [kline.open_time_us for kline in klines]
        async with snapshot(target.pool, timeout_s=_READ_S) as connection:
            compare(klines, await read_minutes(connection, target.symbol, times), comparison)
    return VenueComparison(
        matched=comparison.matched,
        differing=comparison.differing,
        uncovered=len(comparison.uncovered),
        incomplete=len(comparison.incomplete),
    )
