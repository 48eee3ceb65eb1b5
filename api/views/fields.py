"""The field types that several views share. Pure."""

from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Raw

from tickplant.provenance import DataSource

DecimalText = Annotated[
    str, Meta(description="A decimal with all stored digits, in plain notation.", examples=["61837.63000000"])
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


def encoded(rows: bytes) -> Any:
    """Return a field of a view whose JSON is given."""
    return Raw(rows)


def decimal_json(number: Decimal) -> str:
    """Format a decimal with all its digits and without an exponent."""
    text = str(number)
    return format(number, "f") if "E" in text else text


def optional_decimal_json(number: Decimal | None) -> str | None:
    """Format a decimal likewise; None stays."""
    return None if number is None else decimal_json(number)
