"""JSON views of trades, the same over REST and websockets, and the types that views share. Pure."""

from decimal import Decimal
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from tickplant.intervals import INTERVALS, SECOND_US
from tickplant.market import Candle, Gap, Side, SymbolId, Trade
from tickplant.provenance import DataSource
from tickplant.times import format_time
from tickplant.wire import ConnectionStatus

LENGTHS = {"1s": SECOND_US, **INTERVALS}
"""The intervals of candles, with their lengths in microseconds."""

DecimalText = Annotated[
    str, Meta(description="A decimal, as exact as stored, in plain notation.", examples=["61837.63000000"])
]
Time = Annotated[str, Meta(description="RFC 3339, UTC.", examples=["2024-08-08T23:54:15.342000Z"])]


Source = Annotated[
    DataSource | None,
    Meta(
        description="The source of all trades of this plant: `live`, a venue's stream; `replay`, recorded"
        " captures; `synthetic`, generated; null until the first trade."
    ),
]

SymbolName = Annotated[str, Meta(description="`venue:symbol`.", examples=["binance:BTCUSDT"])]
ConnectionState = Literal["connecting", "live", "refused", "down"]
ProblemState = Literal["refused", "unknown", "halted", "delisted", "silent"]
GapState = Literal["open", "backfilling", "unrecoverable", "healed"]


class TradeView(Struct, frozen=True):
    """A trade."""

    trade_id: Annotated[int, Meta(description="The venue's number; rises with time.", examples=[3735683259])]
    price: DecimalText
    size: DecimalText
    side: Annotated[Side | None, Meta(description="The aggressor's side; null where the venue doesn't say.")]
    event_time: Time
    """When it happened, by the venue's clock."""
    ingest_time: Time
    """When tickplant received it."""


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


class GapView(Struct, frozen=True):
    """Trade ids of a symbol that are or were missing."""

    symbol: SymbolName
    venue: str
    first_id: Annotated[int, Meta(description="The first id that was missing.", examples=[3735683259])]
    last_id: Annotated[int, Meta(description="The last, inclusive.", examples=[3735683262])]
    missing: Annotated[int, Meta(description="How many of them are still missing.")]
    state: Annotated[
        GapState,
        Meta(
            description="`open`; `backfilling` while they are requested from the venue; `healed`, none is"
            " missing any more; `unrecoverable`, the venue doesn't return them, for `reason`."
        ),
    ]
    cause: Annotated[
        Literal["ours", "venue"],
        Meta(description="`ours`: not received; `venue`: the venue has no trades of these ids."),
    ]
    reason: Annotated[str | None, Meta(description="The venue's reason.")]
    after_time: Annotated[Time, Meta(description="The symbol's venue time when the gap opened.")]
    detected_at: Annotated[Time, Meta(description="When the gap was stored.")]


class ProblemView(Struct, frozen=True):
    """Why no trades of a symbol arrive."""

    symbol: SymbolName
    state: Annotated[
        ProblemState,
        Meta(
            description="`refused` by the venue; `unknown`, `halted` or `delisted`, by its list of symbols;"
            " `silent`: without trades for long."
        ),
    ]
    reason: str


class ConnectionView(Struct, frozen=True):
    """A connection to a venue, as its process last reported it."""

    name: Annotated[str, Meta(description="Venue, process and number.", examples=["binance/host:17/0"])]
    venue: str
    symbols: list[SymbolName]
    state: Annotated[
        ConnectionState,
        Meta(
            description="`connecting`, `live`, `down`: lost, and retried soon, or `refused`: the venue"
            " accepts none of the symbols, which are requested again at long intervals."
        ),
    ]
    since: Time
    reason: Annotated[str | None, Meta(description="Why it is down or refused.")]
    problems: Annotated[
        list[ProblemView], Meta(description="Symbols without trades, though the connection may be live.")
    ] = []


def connection_view(connection: ConnectionStatus) -> ConnectionView:
    """Return a venue connection as it stands in JSON."""
    return ConnectionView(
        connection.name,
        connection.venue,
        [str(SymbolId(connection.venue, symbol)) for symbol in connection.symbols],
        cast(ConnectionState, connection.state),
        format_time(connection.since_us),
        connection.reason or None,
        [
            ProblemView(
                str(SymbolId(connection.venue, problem.symbol)),
                cast(ProblemState, problem.state),
                problem.reason,
            )
            for problem in connection.problems
        ],
    )


def gap_view(gap: Gap) -> GapView:
    """Return a gap as it stands in JSON."""
    return GapView(
        str(SymbolId(gap.venue, gap.symbol)),
        gap.venue,
        gap.first_id,
        gap.last_id,
        gap.missing,
        cast(GapState, gap.state),
        cast(Literal["ours", "venue"], gap.cause),
        gap.reason,
        format_time(gap.after_time_us),
        format_time(gap.detected_at_us),
    )


def trade_view(trade: Trade) -> TradeView:
    """Return a trade as it stands in JSON."""
    return TradeView(
        trade.trade_id,
        trade.price,
        trade.size,
        trade.side,
        format_time(trade.event_time_us),
        format_time(trade.ingest_time_us),
    )


def candle_view(candle: Candle) -> CandleView:
    """Return a candle as it stands in JSON."""
    return CandleView(
        format_time(candle.open_time_us),
        format_time(candle.open_time_us + LENGTHS[candle.interval]),
        decimal_text(candle.open),
        decimal_text(candle.high),
        decimal_text(candle.low),
        decimal_text(candle.close),
        decimal_text(candle.volume),
        decimal_text(candle.quote_volume),
        candle.trade_count,
        candle.first_trade_id,
        candle.last_trade_id,
        candle.closed,
        candle.complete,
        candle.revision,
    )


def empty_view(
    open_time_us: int, length_us: int, price: str, *, closed: bool, complete: bool | None
) -> CandleView:
    """Return the candle of an interval without trades, at the close before it."""
    return CandleView(
        format_time(open_time_us),
        format_time(open_time_us + length_us),
        price,
        price,
        price,
        price,
        "0",
        "0",
        0,
        None,
        None,
        closed,
        complete,
        0,
    )


def decimal_text(number: Decimal) -> str:
    """Format a decimal with all its digits and without an exponent."""
    text = str(number)
    return format(number, "f") if "E" in text else text
