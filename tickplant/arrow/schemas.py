"""The Arrow schemas of trades and candles."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

TIME: Final = pa.timestamp("us", tz="UTC")
"""Of all times."""
WORD: Final = pa.dictionary(pa.int32(), pa.string())
"""Of columns with few values."""

PRECISIONS: Final = (18, 38, 76)
"""Digits of decimals: the most that 64, 128 and 256 bits hold."""
SCALES: Final = (8, 18, 38)
"""Decimal places. Few widths: so the files of a symbol have one schema, although days have other digits."""

TRADE_DECIMALS: Final = ("price", "size")
CANDLE_DECIMALS: Final = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("taker_buy_volume", "taker_buy_quote_volume"),
)

_TRADES: Final[dict[str, pa.DataType]] = {
    "venue": WORD,
    "symbol": WORD,
    "trade_id": pa.int64(),
    "price": pa.null(),
    "size": pa.null(),
    "side": WORD,
    "event_time": TIME,
    "ingest_time": TIME,
    "price_scale": pa.int8(),
    "size_scale": pa.int8(),
}
_CANDLES: Final[dict[str, pa.DataType]] = {
    "venue": WORD,
    "symbol": WORD,
    "interval": WORD,
    "open_time": TIME,
    **dict.fromkeys(CANDLE_DECIMALS[:6], pa.null()),
    "trade_count": pa.int64(),
    "first_event_time": TIME,
    "first_trade_id": pa.int64(),
    "last_event_time": TIME,
    "last_trade_id": pa.int64(),
    "revision": pa.int64(),
    "closed": pa.bool_(),
    "complete": pa.bool_(),
    **dict.fromkeys(CANDLE_DECIMALS[6:], pa.null()),
}


def decimal_type(whole: int, places: int, *, least: int = SCALES[0]) -> pa.DataType:
    """Return the type of a column of decimals.

    Args:
        whole: the most digits before the point.
        places: the most digits after it.
        least: the least scale.

    Returns:
        A decimal of one of few widths if one is wide enough, or else one just wide enough; text where no
        decimal is: beyond 76 digits.
    """
    for scale in (*(scale for scale in SCALES if scale >= max(places, least)), places):
        for precision in PRECISIONS:
            if whole + scale <= precision:
                return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return pa.string()


def schema_of(what: str, widths: Mapping[str, tuple[int, int]]) -> pa.Schema:
    """Return the schema of a file.

    Args:
        what: `trades` or `candles`.
        widths: digits before and after the point by column of decimals.
    """
    columns = _TRADES if what == "trades" else _CANDLES
    return pa.schema(
        [
            (name, decimal_type(*widths[name], least=_least_scale(name)) if name in widths else kind)
            for name, kind in columns.items()
        ]
    )


def export_schema(
    what: str,
    widths: Mapping[str, tuple[int, int]],
    *,
    word: pa.DataType = WORD,
    floats: bool = False,
    has_origin: bool = False,
    has_source: bool = False,
) -> pa.Schema:
    """Return the schema of exported rows: as that of a file, without columns that only restoring needs.

    Args:
        what: `trades` or `candles`.
        widths: as of `schema_of`.
        word: the type of columns with few values.
        floats: whether decimals are rounded to floating-point numbers of 64 bits.
        has_origin: whether a column says of each candle whether it is the venue's own.
        has_source: whether a last column names the source of the trades.
    """
    fields = [field for field in schema_of(what, widths) if field.name not in ("price_scale", "size_scale")]
    types = [
        (
            field.name,
            pa.float64() if floats and field.name in widths else word if field.type == WORD else field.type,
        )
        for field in fields
    ]
    named = [name for name, present in (("origin", has_origin), ("source", has_source)) if present]
    return pa.schema([*types, *((name, word) for name in named)])


def _least_scale(column: str) -> int:
    """Return the least scale of a column: sums of products have twice the places of their factors."""
    return SCALES[1] if column.endswith("volume") else SCALES[0]
