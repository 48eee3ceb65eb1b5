"""Averages of a symbol's last trades, and moving averages of its closed candles."""

import re
from typing import Annotated, Final

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from api.http.paging import encode_remaining
from api.http.problems import Problem, bad_parameter, conflict
from api.http.whole_lists import answer
from api.queries.averages import read_averages
from api.queries.candles import OpenTimeRange
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import RangePage, RangePageRequest, SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.views.fields import SymbolName, Time
from api.views.stats import MeansView, means_view
from db.stats import read_price_means
from tickplant.averages import MAX_LENGTH, AverageSpec, Kind
from tickplant.intervals import BASE, DAY_US, HOUR_US, INTERVALS, MINUTE_US, SECOND_US
from tickplant.market import SymbolId
from tickplant.times import format_time

_UNITS: Final = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_LENGTH: Final = 20


class AverageView(Struct, frozen=True):
    """A moving average as of one closed candle."""

    open_time: Annotated[Time, Meta(description="Of the newest candle in it.")]
    close_time: Annotated[Time, Meta(description="Of that candle: the time from which the value holds.")]
    value: float


class AveragesPage(Struct, frozen=True):
    """A moving average by open time, oldest first."""

    symbol: SymbolName
    interval: str
    kind: Kind
    length: int
    averages: list[AverageView]
    next: Next


PeriodText = Annotated[
    str | None,
    QueryParameter(
        description="Means of the trades of this period, up to the venue's time: 30s, 5m, 4h; a day at most.",
        examples=[Example(value="5m")],
        schema_extra={
            "pattern": r"^(?:(?:[1-9]\d{0,3}|[1-7]\d{4}|8[0-5]\d{3}|86[0-3]\d\d|86400)s"
            r"|(?:[1-9]\d{0,2}|1[0-3]\d\d|14[0-3]\d|1440)m|(?:[1-9]|1\d|2[0-4])h|1d)$"
        },
    ),
]
IntervalName = Annotated[
    str | None,
    QueryParameter(
        description=f"A moving average of the closes of such candles: {', '.join(INTERVALS)};"
        f" {BASE} if not given.",
        examples=[Example(value="1h")],
        schema_extra={"pattern": f"^(?:{'|'.join(INTERVALS)})$"},
    ),
]
KindName = Annotated[
    Kind | None,
    QueryParameter(
        description="`sma`: the mean of the last closes; `wma`: weighted linearly; `ema`: exponentially, with"
        " 2 / (length + 1); sma if not given.",
        examples=[Example(value="ema")],
    ),
]
LengthInCandles = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        le=MAX_LENGTH,
        description=f"In candles; {_LENGTH} if not given.",
        examples=[Example(value=26)],
    ),
]


@get(
    "/moving-average/{symbol:path}",
    summary="Moving averages",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_moving_average(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    period: PeriodText = None,
    interval: IntervalName = None,
    kind: KindName = None,
    length: LengthInCandles = None,
    *,
    range_page: RangePage,
) -> MeansView | AveragesPage:
    """Average the last trades, or list a moving average of closed candles.

    With `period`, or with nothing, which is `period=5m`: the mean and the volume-weighted mean of the prices
    of the trades of that period. It ends at `until`, the venue's time up to which trades have been
    received, rather than now: if a feed is down, that is when it went down.

    With any of `interval`, `kind`, `length`, `start`, `end` and `after`, and as a table: a value for each
    closed candle by open time, oldest first on every page; pages are those of `ohlcv`. Intervals without
    trades have no candle and do not count. The first candles of a symbol, fewer than `length`, have no
    value. An exponential average is that of pandas' `ewm(span=length, adjust=False)`. It is computed for
    any length, also those that workers store.
    """
    symbol_id = await resolve(directory, symbol)
    bounds = range_page.start, range_page.end, range_page.after
    if (interval, kind, length, *bounds, range_page.whole) == (None,) * 7:
        return await _means(history, symbol_id, "5m" if period is None else period)
    if period is not None:
        raise conflict("period", "applies to trades: omit it, or omit the parameters of candles")
    series, spec = parse_stored_interval(interval), AverageSpec(kind or "sma", length or _LENGTH)

    async def read(page_request: RangePageRequest) -> AveragesPage:
        requested = page_request.time_range(f"moving-average/{symbol_id}/{series}/{spec.name}")
        window = OpenTimeRange(requested.low[0], requested.high[0])
        page = await read_averages(
            history, symbol_id, series, spec, window, page_request.limit, newest=requested.newest
        )
        length_us = INTERVALS[series]
        return AveragesPage(
            str(symbol_id),
            series,
            spec.kind,
            spec.length,
            [
                AverageView(format_time(open_us), format_time(open_us + length_us), value)
                for open_us, value in page.values
            ],
            encode_remaining(requested, page.remaining),
        )

    return await answer(
        range_page, read, lambda page: page.averages, AverageView, lambda: history.state(symbol_id)
    )


async def _means(history: StoredHistory, symbol: SymbolId, period: str) -> MeansView:
    period_us = parse_period(period)
    async with history.snapshot() as connection:
        means = await read_price_means(connection, symbol, period_us)
    if means is None:
        raise Problem(404, "no_price", f"{symbol} has not traded yet")
    return means_view(symbol, period, means)


def parse_period(text: str) -> int:
    """Return a period in microseconds.

    Raises:
        Problem: the text is no period, or one longer than a day.
    """
    match = re.fullmatch(r"(\d{1,5})([smhd])", text, re.ASCII)
    period_us = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < period_us <= DAY_US:
        raise bad_parameter(
            "period", f"{text[:20]!r} is not a period of a day at most, such as 30s, 5m or 4h"
        )
    return period_us


def parse_stored_interval(text: str | None) -> str:
    """Return the requested interval.

    Raises:
        Problem: there are no stored candles of it.
    """
    if text is not None and text not in INTERVALS:
        raise bad_parameter("interval", f"{text[:20]!r} is not one of {', '.join(INTERVALS)}")
    return BASE if text is None else text
