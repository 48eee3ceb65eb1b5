"""Frames of pandas and polars, which are imported when asked for."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from msgspec.structs import astuple

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from msgspec import Struct

_DIGITS: Final = 38
"""The most digits of a decimal of polars."""


def to_pandas(row: type["Struct"], rows: Sequence["Struct"], *, exact: bool) -> "pd.DataFrame":
    """Return rows as a frame; exact decimals are objects, since pandas has no type for them."""
    pandas = _library("pandas")
    types = {datetime: "datetime64[us, UTC]", int: "Int64", bool: "boolean", str: "object"}
    types[Decimal] = "object" if exact else "float64"
    return pandas.DataFrame(
        {name: pandas.Series(values, dtype=types[kind]) for name, kind, values in _columns(row, rows, exact)}
    )


def to_polars(row: type["Struct"], rows: Sequence["Struct"], *, exact: bool) -> "pl.DataFrame":
    """Return rows as a frame; exact decimals have the scale of the column's longest.

    Raises:
        ValueError: an exact number has more digits than polars stores.
    """
    polars = _library("polars")
    types = {
        datetime: polars.Datetime("us", "UTC"),
        int: polars.Int64,
        bool: polars.Boolean,
        str: polars.String,
    }
    types[Decimal] = polars.Float64
    return polars.DataFrame(
        [
            polars.Series(
                name,
                values,
                dtype=polars.Decimal(_DIGITS, _scale(name, values))
                if kind is Decimal and exact
                else types[kind],
            )
            for name, kind, values in _columns(row, rows, exact)
        ]
    )


def _columns(row: type["Struct"], rows: Sequence["Struct"], exact: bool) -> list[tuple[str, type, list[Any]]]:
    """Return names, types and values of the columns; numbers are floats unless they must be exact."""
    values = list(map(list, zip(*map(astuple, rows), strict=True))) or [[] for _ in row.__struct_fields__]
    hints = get_type_hints(row)
    columns = []
    for name, column in zip(row.__struct_fields__, values, strict=True):
        kind = _plain_type(hints[name])
        if kind is Decimal and not exact:
            column = [None if number is None else float(number) for number in column]
        columns.append((name, kind, column))
    return columns


def _plain_type(hint: Any) -> type:
    """Return the type of a field without `None`; texts for one of some words."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return kinds[0] if isinstance(kinds[0], type) else str


def _scale(name: str, numbers: Sequence[Decimal | None]) -> int:
    """Return the decimal places that a column needs."""
    scale = whole = 0
    for number in numbers:
        if number is not None:
            _, digits, exponent = number.as_tuple()
            assert isinstance(exponent, int)
            scale = max(scale, -exponent)
            whole = max(whole, len(digits) + exponent)
    if scale + whole > _DIGITS:
        raise ValueError(f"{name} has more than {_DIGITS} digits, which polars can't store: use exact=False")
    return scale


def _library(name: str) -> ModuleType:
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(f"{name} is not installed: run `pip install {name}`", name=name) from error
