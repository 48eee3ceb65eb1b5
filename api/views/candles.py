"""JSON views of candles, the same over REST and websockets. Pure."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.views.fields import DecimalText, Time, decimal_json, optional_decimal_json
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import Candle, vwap
from tickplant.times import format_time


class CandleView(Struct, frozen=True):
    """A candle. That of an interval without trades has null for the ids of trades."""

    open_time: Time
    """Inclusive."""
    close_time: Time
    """Exclusive."""
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: Annotated[DecimalText, Meta(description="Sum of sizes, in base currency.")]
    quote_volume: Annotated[DecimalText, Meta(description="Sum of price times size, in quote currency.")]
    taker_buy_volume: Annotated[
        DecimalText | None,
        Meta(
            description="Sum of sizes of the trades whose aggressor bought, in base currency;"
            " null unless the side of every trade is known."
        ),
    ]
    taker_buy_quote_volume: Annotated[
        DecimalText | None, Meta(description="Sum of price times size of the same trades; null likewise.")
    ]
    vwap: Annotated[
        DecimalText | None,
        Meta(
            description="Mean price weighted by size: `quote_volume` over `volume`, rounded half up to 18"
            " decimal places; null if `volume` is 0."
        ),
    ]
    trade_count: int
    first_trade_id: int | None
    last_trade_id: int | None
    closed: Annotated[bool, Meta(description="The venue's time has passed close_time.")]
    complete: Annotated[
        bool | None,
        Meta(
            description="Closed, and trade ids prove that no trade of the interval is missing;"
            " null (unknown) if it has closed but the venue has no trade ids."
        ),
    ]
    revision: Annotated[int, Meta(description="How many of its trades arrived after it had closed.")]


class AnyCandleView(CandleView, frozen=True):
    """A candle of trades or of the venue; the venue's own has null for ids of trades and for `complete`."""

    origin: Annotated[
        Literal["trades", "venue"],
        Meta(description="What it is made of: our trades; or `venue`, as the venue published it."),
    ]


def candle_view(candle: Candle) -> CandleView:
    """Return the JSON view of a candle."""
    return CandleView(
        format_time(candle.open_time_us),
        format_time(CANDLE_INTERVALS[candle.interval].after(candle.open_time_us)),
        decimal_json(candle.open),
        decimal_json(candle.high),
        decimal_json(candle.low),
        decimal_json(candle.close),
        decimal_json(candle.volume),
        decimal_json(candle.quote_volume),
        optional_decimal_json(candle.taker_buy_volume),
        optional_decimal_json(candle.taker_buy_quote_volume),
        optional_decimal_json(vwap(candle.quote_volume, candle.volume)),
        candle.trade_count,
        candle.first_trade_id,
        candle.last_trade_id,
        candle.closed,
        candle.complete,
        candle.revision,
    )


def empty_view(
    open_time_us: int, close_time_us: int, price: str, *, closed: bool, complete: bool | None
) -> CandleView:
    """Return the candle of an interval without trades, at the close before it."""
    return CandleView(
        format_time(open_time_us),
        format_time(close_time_us),
        price,
        price,
        price,
        price,
        "0",
        "0",
        "0",
        "0",
        None,
        0,
        None,
        None,
        closed,
        complete,
        0,
    )
