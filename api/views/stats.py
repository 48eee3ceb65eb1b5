"""JSON views of 24-hour statistics, means of prices and statistics of returns. Pure."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.views.fields import DecimalText, SymbolName, Time, decimal_json, optional_decimal_json
from db.stats import Change24h, PriceMeans
from tickplant.derived import Statistics
from tickplant.intervals import MINUTE_US, SECOND_US
from tickplant.market import SymbolId
from tickplant.times import format_time

Sort = Literal["symbol", "last", "change", "percent", "volume", "quote_volume", "trade_count"]
Order = Literal["asc", "desc"]


class ChangeView(Struct, frozen=True):
    """A symbol's last 24 hours, to the minute. Prices are null if nothing was traded."""

    symbol: SymbolName
    start: Annotated[
        Time,
        Meta(
            description="Start of the window: of the minute 23 hours and 59 minutes before that of `until`."
        ),
    ]
    until: Annotated[
        Time,
        Meta(
            description="The venue's time, up to which trades have been received. It stops, and the window"
            " with it, when nothing is received for the symbol."
        ),
    ]
    covers_from: Annotated[
        Time,
        Meta(
            description="The start of the data: `start`, or the symbol's first trade, if that is later."
            " Trades that are missing since then are listed by `/gaps`."
        ),
    ]
    covers_s: Annotated[int, Meta(description="Seconds from `covers_from` to `until`.")]
    partial: Annotated[
        bool,
        Meta(description="Whether that is less than the window: all values then cover less than 24 hours."),
    ]
    open: Annotated[DecimalText | None, Meta(description="Price of the first trade.")]
    last: Annotated[DecimalText | None, Meta(description="Price of the last trade.")]
    high: DecimalText | None
    low: DecimalText | None
    change: Annotated[DecimalText | None, Meta(description="`last` minus `open`.")]
    percent: Annotated[
        DecimalText | None,
        Meta(description="`change` in percent of `open`, rounded to 6 digits.", examples=["-1.250000"]),
    ]
    volume: Annotated[DecimalText, Meta(description="Sum of sizes, in base currency.")]
    quote_volume: Annotated[DecimalText, Meta(description="Sum of price times size, in quote currency.")]
    trade_count: int


class MeansView(Struct, frozen=True):
    """Means of the prices of the last trades."""

    symbol: SymbolName
    period: str
    after: Annotated[Time, Meta(description="Start of the window, exclusive.")]
    until: Annotated[
        Time,
        Meta(description="End of the window, inclusive: the venue's time up to which trades were received."),
    ]
    trade_count: int
    first_event_time: Annotated[Time | None, Meta(description="Of the oldest trade in it; null for none.")]
    last_event_time: Annotated[Time | None, Meta(description="Of the newest trade in it; null for none.")]
    mean: Annotated[
        DecimalText | None,
        Meta(description="Arithmetic mean of the prices, rounded to 18 digits; null for none."),
    ]
    weighted_mean: Annotated[
        DecimalText | None,
        Meta(
            description="Weighted by volume: `quote_volume` over `volume`, rounded half up to 18 decimal"
            " places."
        ),
    ]
    volume: Annotated[DecimalText, Meta(description="Sum of sizes, in base currency.")]
    quote_volume: Annotated[DecimalText, Meta(description="Sum of price times size, in quote currency.")]


class StatisticsView(Struct, frozen=True, rename={"return_": "return"}):
    """The return of a closed minute, with statistics of the returns before it."""

    open_time: Annotated[Time, Meta(description="Of the minute, inclusive.")]
    close_time: Annotated[Time, Meta(description="Exclusive.")]
    points: Annotated[int, Meta(description="How many returns the statistics are of, without this one.")]
    return_: Annotated[
        float, Meta(description="Close over the close of the previous minute with trades, minus one.")
    ]
    mean: Annotated[float | None, Meta(description="Of the returns before; null where there is none.")]
    stddev: Annotated[
        float | None, Meta(description="Their sample standard deviation; null for fewer than two.")
    ]
    zscore: Annotated[
        float | None, Meta(description="Distance of this return from the mean, in standard deviations.")
    ]
    q1: Annotated[float | None, Meta(description="Their first quartile.")]
    q3: Annotated[
        float | None, Meta(description="Their third quartile; minus `q1`, it is the interquartile range.")
    ]


def change_view(change: Change24h) -> ChangeView:
    """Return the JSON view of the last 24 hours."""
    return ChangeView(
        str(change.symbol),
        format_time(change.start_us),
        format_time(change.until_us),
        format_time(change.covered_us),
        max(0, change.until_us - change.covered_us) // SECOND_US,
        change.covered_us > change.start_us,
        optional_decimal_json(change.open),
        optional_decimal_json(change.last),
        optional_decimal_json(change.high),
        optional_decimal_json(change.low),
        optional_decimal_json(change.change),
        optional_decimal_json(change.percent),
        decimal_json(change.volume),
        decimal_json(change.quote_volume),
        change.trade_count,
    )


def ranked(changes: Sequence[Change24h], sort: Sort, order: Order) -> list[Change24h]:
    """Sort symbols by a field; those without a value come last in either order."""
    value_of = attrgetter(sort)
    known = [change for change in changes if value_of(change) is not None]
    known.sort(key=value_of, reverse=order == "desc")
    return known + [change for change in changes if value_of(change) is None]


def means_view(symbol: SymbolId, period: str, means: PriceMeans) -> MeansView:
    """Return the JSON view of means."""
    return MeansView(
        str(symbol),
        period,
        format_time(means.after_us),
        format_time(means.until_us),
        means.trade_count,
        None if means.first_event_time_us is None else format_time(means.first_event_time_us),
        None if means.last_event_time_us is None else format_time(means.last_event_time_us),
        optional_decimal_json(means.mean),
        optional_decimal_json(means.weighted_mean),
        decimal_json(means.volume),
        decimal_json(means.quote_volume),
    )


def statistics_view(statistics: Statistics) -> StatisticsView:
    """Return the JSON view of statistics."""
    return StatisticsView(
        format_time(statistics.open_time_us),
        format_time(statistics.open_time_us + MINUTE_US),
        statistics.points,
        statistics.return_,
        statistics.mean,
        statistics.stddev,
        statistics.zscore,
        statistics.q1,
        statistics.q3,
    )
