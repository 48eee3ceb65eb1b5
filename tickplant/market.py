"""Trades, candles and gaps; folding trades into candles, and merging candles.

Prices and sizes are the venue's own decimal text, and become `Decimal` only where they are compared or added,
always in a context that raises rather than rounds. They are never converted to float.
"""

from collections.abc import Iterable, Iterator
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from tickplant.errors import PoisonError
from tickplant.intervals import BASE, MINUTE_US, floor

Side = Literal["buy", "sell"]
"""The aggressor's side: `buy` if the taker bought."""

MAX_DECIMAL_CHARS: Final = 40
"""The longest decimal text accepted from a venue."""

EXACT: Final = Context(prec=250, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic that can't round: 250 digits hold any sum of products of two 40-character decimals."""

QUOTIENT: Final = Context(prec=18)
"""Arithmetic of quotients, which have no exact decimal: rounded half to even, to 18 significant digits."""

_VWAP_PLACES: Final = 18
_VWAP_SCALE: Final = Decimal(10) ** _VWAP_PLACES

_add = EXACT.add
_multiply = EXACT.multiply


class SymbolId(NamedTuple):
    """A symbol and the venue that trades it, written `venue:symbol`."""

    venue: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}"

    @classmethod
    def parse(cls, text: str) -> "SymbolId":
        """Parse `venue:symbol`.

        Raises:
            ValueError: the text is not of that form.
        """
        venue, colon, symbol = text.partition(":")
        if not (venue and colon and symbol) or any(char.isspace() for char in text):
            raise ValueError(f"{text!r} is not of the form venue:SYMBOL, such as binance:BTCUSDT")
        return cls(venue.lower(), symbol)


class Trade(Struct, frozen=True, array_like=True, gc=False):
    """One trade, as the venue reported it."""

    venue: str
    symbol: str
    """As the venue writes it."""
    trade_id: int
    """The venue's id, or ours where the venue has none; ascending within a symbol."""
    price: str
    """Decimal text, in quote currency."""
    size: str
    """Decimal text, in base currency."""
    side: Side | None
    """The aggressor's side; None where the venue doesn't report it."""
    event_time_us: int
    """When it happened by the venue's clock, microseconds since the epoch."""
    ingest_time_us: int
    """When we received it by our clock, microseconds since the epoch."""


class Candle(Struct, frozen=True, array_like=True, gc=False):
    """Open, high, low, close and sums of the trades of one symbol in one interval, or of a part of them."""

    venue: str
    symbol: str
    interval: str
    open_time_us: int
    """Inclusive; the bucket ends, exclusively, one interval later."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """Sum of sizes, in base currency."""
    quote_volume: Decimal
    """Sum of price times size, in quote currency."""
    trade_count: int
    first_event_time_us: int
    first_trade_id: int
    last_event_time_us: int
    last_trade_id: int
    revision: int = 0
    """How many of the trades arrived after the candle had closed."""
    closed: bool = False
    """The venue's time has passed the end of the interval."""
    complete: bool | None = False
    """Closed, and contains every trade that the venue numbered; None where the venue has no trade ids."""
    taker_buy_volume: Decimal | None = None
    """Sum of sizes of the trades whose aggressor bought; None unless the side of every trade is known.

    Appended, with a default, as is the next: what the former version wrote is read as before.
    """
    taker_buy_quote_volume: Decimal | None = None
    """Sum of price times size of the same trades."""


class Gap(Struct, frozen=True, array_like=True):
    """Ids of one symbol whose trades are or were missing."""

    venue: str
    symbol: str
    first_id: int
    last_id: int
    """Inclusive."""
    after_time_us: int
    """The symbol's venue time when the gap opened."""
    detected_at_us: int
    state: str
    """open, backfilling, healed or unrecoverable"""
    cause: str
    """`ours`: we did not receive them; `venue`: the venue does not have them."""
    reason: str | None
    """The venue's reason where it refuses the trades."""
    missing: int
    """How many of the ids are still missing."""


def merge(a: Candle, b: Candle) -> Candle:
    """Merge two candles of the same symbol and bucket that hold different trades.

    Associative and commutative: open of the smaller (event time, trade id), close of the larger, greatest,
    least, sums; a sum with an unknown part is unknown. `closed` and `complete` do not follow from the trades,
    and are False.
    """
    head = a if (a.first_event_time_us, a.first_trade_id) <= (b.first_event_time_us, b.first_trade_id) else b
    tail = a if (a.last_event_time_us, a.last_trade_id) > (b.last_event_time_us, b.last_trade_id) else b
    return Candle(
        a.venue,
        a.symbol,
        a.interval,
        a.open_time_us,
        head.open,
        a.high if a.high >= b.high else b.high,
        a.low if a.low <= b.low else b.low,
        tail.close,
        _add(a.volume, b.volume),
        _add(a.quote_volume, b.quote_volume),
        a.trade_count + b.trade_count,
        head.first_event_time_us,
        head.first_trade_id,
        tail.last_event_time_us,
        tail.last_trade_id,
        a.revision + b.revision,
        taker_buy_volume=_add_known(a.taker_buy_volume, b.taker_buy_volume),
        taker_buy_quote_volume=_add_known(a.taker_buy_quote_volume, b.taker_buy_quote_volume),
    )


def _add_known(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    return None if a is None or b is None else _add(a, b)


def rebucket(candle: Candle, interval: str, length_us: int, *, revision: int = 0) -> Candle:
    """Return the same trades as part of the candle of a longer interval."""
    return Candle(
        candle.venue,
        candle.symbol,
        interval,
        floor(candle.open_time_us, length_us),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trade_count,
        candle.first_event_time_us,
        candle.first_trade_id,
        candle.last_event_time_us,
        candle.last_trade_id,
        revision,
        taker_buy_volume=candle.taker_buy_volume,
        taker_buy_quote_volume=candle.taker_buy_quote_volume,
    )


def vwap(quote_volume: Decimal, volume: Decimal) -> Decimal | None:
    """Return the mean price weighted by size, rounded half up to 18 places; None if all sizes are 0.

    The SQL function `vwap` gives the same number.
    """
    if not volume:
        return None
    dividend = EXACT.add(EXACT.multiply(quote_volume, _VWAP_SCALE * 2), volume)
    return EXACT.divide_int(dividend, EXACT.add(volume, volume)).scaleb(-_VWAP_PLACES, EXACT).normalize(EXACT)


def fold(trades: Iterable[Trade], interval: str = BASE, length_us: int = MINUTE_US) -> list[Candle]:
    """Fold trades of one symbol into candles, one a bucket, in any order of arrival.

    Args:
        trades: trades of one and the same symbol.
        interval: the name of the interval that the candles carry.
        length_us: its length.

    Returns:
        Candles in order of their buckets' first appearance.
    """
    candles: dict[int, Candle] = {}
    for candle in fold_runs(trades, interval, length_us):
        known = candles.get(candle.open_time_us)
        candles[candle.open_time_us] = merge(known, candle) if known else candle
    return list(candles.values())


def fold_runs(trades: Iterable[Trade], interval: str = BASE, length_us: int = MINUTE_US) -> Iterator[Candle]:
    """Fold each run of consecutive trades in one bucket into a candle; a bucket may appear again.

    The same as turning each trade into a candle of its own and merging those, without building them.

    Raises:
        decimal.Inexact: never, for text that `is_decimal` accepts.
    """
    run: list[Trade] = []
    bucket = end = 0
    for trade in trades:
        if not bucket <= trade.event_time_us < end:
            if run:
                yield _fold_run(run, interval, bucket)
            run = []
            bucket = floor(trade.event_time_us, length_us)
            end = bucket + length_us
        run.append(trade)
    if run:
        yield _fold_run(run, interval, bucket)


def _fold_run(run: list[Trade], interval: str, bucket: int) -> Candle:
    """Fold trades that lie in one bucket; at least one."""
    first = last = run[0]
    open_ = high = low = close = Decimal(first.price)
    volume = quote_volume = bought = bought_quote = Decimal(0)
    sides_known = True
    for trade in run:
        price = Decimal(trade.price)
        size = Decimal(trade.size)
        if price > high:
            high = price
        elif price < low:
            low = price
        value = _multiply(price, size)
        volume = _add(volume, size)
        quote_volume = _add(quote_volume, value)
        if trade.side == "buy":
            bought = _add(bought, size)
            bought_quote = _add(bought_quote, value)
        elif trade.side is None:
            sides_known = False
        time_us = trade.event_time_us
        if time_us > last.event_time_us or (
            time_us == last.event_time_us and trade.trade_id >= last.trade_id
        ):
            last, close = trade, price
        elif time_us < first.event_time_us or (
            time_us == first.event_time_us and trade.trade_id < first.trade_id
        ):
            first, open_ = trade, price
    return Candle(
        first.venue,
        first.symbol,
        interval,
        bucket,
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        len(run),
        first.event_time_us,
        first.trade_id,
        last.event_time_us,
        last.trade_id,
        taker_buy_volume=bought if sides_known else None,
        taker_buy_quote_volume=bought_quote if sides_known else None,
    )


def is_decimal(text: str) -> bool:
    """Return whether a venue's text is a plain, non-negative decimal: digits with at most one point."""
    return len(text) <= MAX_DECIMAL_CHARS and text.isascii() and text.replace(".", "", 1).isdecimal()


def check_decimal(text: str, what: str) -> str:
    """Return the text if it is a plain decimal.

    Raises:
        PoisonError: it is not.
    """
    if not is_decimal(text):
        raise PoisonError(f"{what} is not a plain decimal: {text[:60]!r}")
    return text
