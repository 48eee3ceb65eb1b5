"""Pages of candles: stored ones, those of one second, and those that fill intervals without trades."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from api.http.paging import cut
from api.live.cursor import Order
from api.queries.history import MAX_US, MIN_US, StoredHistory, committed_order
from api.views.candles import AnyCandleView, CandleView, candle_view, empty_view
from api.views.fields import decimal_json, encoded
from db.candles import MAX_SECOND_TRADES, SECOND, read_candles, read_candles_as_json, read_seconds
from db.json_rows import JsonPage
from db.pool import DatabaseConnection
from db.symbols import SymbolCoverage, read_coverage
from db.venue_candles import read_all_candles_as_json
from tickplant.intervals import CANDLE_INTERVALS, INTERVALS, Interval
from tickplant.market import Candle, SymbolId
from tickplant.times import to_us

Fill = Literal["none", "previous"]


class OpenTimeRange(NamedTuple):
    """A range of open times of candles."""

    start_us: int
    """Inclusive."""
    end_us: int
    """Exclusive."""

    def remaining(self, first_us: int, last_us: int, interval: Interval, *, newest: bool) -> "OpenTimeRange":
        """Return the part of the range that a page leaves.

        Args:
            first_us: open time of the page's first candle.
            last_us: open time of the page's last candle.
            interval: of the candles.
            newest: whether pages go back from the newest candle.
        """
        if newest:
            return self._replace(end_us=first_us)
        return self._replace(start_us=interval.after(last_us))


ALL_TIME: Final = OpenTimeRange(MIN_US, MAX_US)


class CandlePage(NamedTuple):
    """A page of candles, oldest first."""

    candles: list[CandleView]
    remaining: OpenTimeRange | None
    """The open times after the page, in the direction of paging; None if there are none."""

    def decoded(self) -> list[CandleView]:
        """Return the candles, of which the database may have encoded the list."""
        return msgspec.json.decode(msgspec.json.encode(self.candles), type=list[CandleView])


class CandlePageReader:
    """Reads pages of candles of one symbol and interval from one snapshot of the database."""

    def __init__(
        self,
        connection: DatabaseConnection,
        symbol: SymbolId,
        interval: str,
        *,
        max_trades: int = MAX_SECOND_TRADES,
    ) -> None:
        """Read from a connection.

        Args:
            connection: in a transaction that sees one snapshot.
            symbol: whose candles.
            interval: the name of any interval.
            max_trades: the most trades to read for a page of candles of a second.
        """
        self._connection = connection
        self._symbol = symbol
        self._interval = interval
        self._bounds = CANDLE_INTERVALS[interval]
        self._max_trades = max_trades

    async def read(self, window: OpenTimeRange, limit: int, *, newest: bool, fill: Fill) -> CandlePage:
        """Return the first candles of a range, or the last.

        Args:
            window: open times of the candles.
            limit: the most candles.
            newest: whether to return the last ones.
            fill: `none` for intervals with trades only; `previous` for every interval from the first with
                trades to the venue's present time; those without trades repeat the close before them.
        """
        if fill == "previous":
            return await self._read_filled(window, limit, newest=newest)
        if self._interval != SECOND:
            page, _ = await self.read_stored(window, limit, newest=newest)
            return page
        candles, more = await self._candles(window, limit, newest=newest)
        views = [candle_view(candle) for candle in candles]
        if not more:
            return CandlePage(views, None)
        opened = candles[0].open_time_us, candles[-1].open_time_us
        return CandlePage(views, window.remaining(*opened, self._bounds, newest=newest))

    async def read_stored(
        self, window: OpenTimeRange, limit: int, *, newest: bool, partition: int | None = None
    ) -> tuple[CandlePage, str | None]:
        """Return a page of any interval but a second, and the partition's entry that it includes last."""
        found = await read_candles_as_json(
            self._connection,
            self._symbol,
            self._interval,
            start_us=window.start_us,
            end_us=window.end_us,
            limit=limit,
            newest=newest,
            partition=partition,
        )
        remaining = _remaining_after(found, window, self._bounds, newest=newest)
        return CandlePage(encoded(found.rows), remaining), found.committed

    async def _read_filled(self, window: OpenTimeRange, limit: int, *, newest: bool) -> CandlePage:
        coverage = await read_coverage(self._connection, self._symbol)
        first = await self._one(ALL_TIME, newest=False)
        if coverage is None or first is None:
            return CandlePage([], None)
        bounds = self._bounds
        present_end_us = bounds.after(bounds.floor(coverage.watermark_us))
        low = bounds.ceil(max(window.start_us, first.open_time_us))
        high = bounds.ceil(min(window.end_us, present_end_us))
        if low >= high:
            return CandlePage([], None)
        shown = (
            OpenTimeRange(max(low, bounds.after(high, -limit)), high)
            if newest
            else OpenTimeRange(low, min(high, bounds.after(low, limit)))
        )
        candles, more = await self._candles(shown, limit, newest=newest)
        if more and newest:
            shown = shown._replace(start_us=candles[0].open_time_us)
        elif more:
            shown = shown._replace(end_us=bounds.after(candles[-1].open_time_us))
        filled = list(self._fill(shown, await self._with_neighbours(shown, candles), coverage))
        remaining = OpenTimeRange(low, shown.start_us) if newest else OpenTimeRange(shown.end_us, high)
        return CandlePage(filled, remaining if remaining.start_us < remaining.end_us else None)

    def _fill(
        self, shown: OpenTimeRange, candles: list[Candle], coverage: SymbolCoverage
    ) -> Iterator[CandleView]:
        """Yield a candle for every interval shown; `candles` includes the neighbours on both sides if any."""
        after = self._bounds.after
        for index, candle in enumerate(candles):
            if shown.start_us <= candle.open_time_us < shown.end_us:
                yield candle_view(candle)
            following = candles[index + 1] if index + 1 < len(candles) else None
            next_us = following.open_time_us if following else shown.end_us
            proven = _nothing_between(candle, following, coverage.missing)
            open_time_us = max(after(candle.open_time_us), shown.start_us)
            while open_time_us < min(next_us, shown.end_us):
                close_time_us = after(open_time_us)
                closed = close_time_us <= coverage.watermark_us
                yield empty_view(
                    open_time_us,
                    close_time_us,
                    decimal_json(candle.close),
                    closed=closed,
                    complete=closed and proven,
                )
                open_time_us = close_time_us

    async def _with_neighbours(self, shown: OpenTimeRange, candles: list[Candle]) -> list[Candle]:
        before = await self._one(OpenTimeRange(MIN_US, shown.start_us), newest=True)
        after = await self._one(OpenTimeRange(shown.end_us, MAX_US), newest=False)
        return [*([before] if before else []), *candles, *([after] if after else [])]

    async def _one(self, window: OpenTimeRange, *, newest: bool) -> Candle | None:
        """Return the first candle of a range, or the last."""
        if self._interval == SECOND:
            candles, _ = await self._seconds(window, 1, newest=newest, max_trades=1)
        else:
            candles, _ = await self._candles(window, 1, newest=newest)
        return candles[0] if candles else None

    async def _candles(self, window: OpenTimeRange, limit: int, *, newest: bool) -> tuple[list[Candle], bool]:
        """Return candles, oldest first, and whether the range may hold more."""
        if self._interval == SECOND:
            return await self._seconds(window, limit, newest=newest, max_trades=self._max_trades)
        candles = await read_candles(
            self._connection,
            self._symbol,
            self._interval,
            start_us=window.start_us,
            end_us=window.end_us,
            limit=limit + 1,
            newest=newest,
        )
        return cut(candles, limit, newest=newest)

    async def _seconds(
        self, window: OpenTimeRange, limit: int, *, newest: bool, max_trades: int
    ) -> tuple[list[Candle], bool]:
        return await read_seconds(
            self._connection,
            self._symbol,
            start_us=window.start_us,
            end_us=window.end_us,
            limit=limit,
            newest=newest,
            max_trades=max_trades,
        )


async def read_committed_page(
    history: StoredHistory,
    symbol: SymbolId,
    interval: str,
    window: OpenTimeRange,
    limit: int,
    *,
    newest: bool,
    fill: Fill,
) -> tuple[CandlePage, Order]:
    """Return a page as `CandlePageReader.read`, and the last input entry that it includes.

    Raises:
        TimeoutError: as `StoredHistory.snapshot`.
    """
    if fill == "none" and interval in INTERVALS:
        async with history.statement() as connection:
            page, committed = await CandlePageReader(connection, symbol, interval).read_stored(
                window, limit, newest=newest, partition=history.partition_of(symbol)
            )
        return page, committed_order(committed)
    async with history.committed_snapshot(symbol) as (connection, order):
        reader = CandlePageReader(connection, symbol, interval)
        return await reader.read(window, limit, newest=newest, fill=fill), order


async def read_page_of_all(
    history: StoredHistory,
    symbol: SymbolId,
    interval: str,
    window: OpenTimeRange,
    limit: int,
    *,
    newest: bool,
) -> tuple[list[AnyCandleView], OpenTimeRange | None]:
    """Return a page of candles of trades and of the venue, of a stored interval, and the range after it.

    Raises:
        TimeoutError: as `StoredHistory.snapshot`.
    """
    async with history.snapshot() as connection:
        found = await read_all_candles_as_json(
            connection,
            symbol,
            interval,
            start_us=window.start_us,
            end_us=window.end_us,
            limit=limit,
            newest=newest,
        )
    return encoded(found.rows), _remaining_after(found, window, CANDLE_INTERVALS[interval], newest=newest)


def _remaining_after(
    found: JsonPage, window: OpenTimeRange, interval: Interval, *, newest: bool
) -> OpenTimeRange | None:
    if found.edge is None:
        return None
    edge_us = to_us(found.edge[0])
    return window.remaining(edge_us, edge_us, interval, newest=newest)


def _nothing_between(
    candle: Candle, following: Candle | None, missing: list[tuple[int, int]] | None
) -> bool | None:
    """Return whether ids prove that nothing was traded between two candles; None without trade ids."""
    if missing is None:
        return None
    if following is None:
        return False  # not before the next trade
    low, high = sorted((candle.last_trade_id, following.first_trade_id))
    index = bisect_right(missing, high, key=lambda part: part[0])
    return not index or missing[index - 1][1] < low
