"""Columns, their encoding and the parsing of frames: compiled where that was built, else pure Python.

Everything that handles `TradeColumns` takes it, and all that makes one, from here. The pure Python
(`tickplant.columns`, `tickplant.wire_columns`, the adapters of venues) defines what is right; the extension
gives the same answers faster, and leaves to it whatever it isn't sure about, so that columns of both kinds
come, and may be mixed. The environment variable `TICKPLANT_KERNEL` decides: `compiled`, `python`, or `auto`,
the default, for `compiled` where it is there.

    from tickplant.kernel import TradeColumns, decode_columns, encode_columns

    trades, consumed = adapter.parse_frames(frames, ingest_time_us)  # [TradeColumns], one a symbol
    payload = encode_columns(trades)                                 # of an entry of a stream
    for columns in decode_columns(payload):                          # PoisonError: decode_each_column
        if columns.valid():                                          # else columns.trades(), one by one
            candles = columns.fold()
            rows = rows_to_copy(columns)                     # in ROW_FORMAT

Raises:
    FatalError: upon import: `TICKPLANT_KERNEL` is something else, or asks for what is not there.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Final, Literal

from msgspec import Raw

from tickplant import columns as _columns
from tickplant import wire_columns as _wire
from tickplant.columns import PIECE, SIDES, TradeColumns, from_trades, group_trades
from tickplant.errors import FatalError
from tickplant.json_template import fill_template as _fill_template
from tickplant.market import Trade
from tickplant.minute_candles import MinuteCandles
from tickplant.wire_columns import decode_each_column

__all__ = [
    "NAME",
    "PIECE",
    "ROW_FORMAT",
    "SIDES",
    "FrameParser",
    "MinuteCandles",
    "RowParser",
    "TradeColumns",
    "concat",
    "decode_columns",
    "decode_each_column",
    "decode_trades",
    "encode_columns",
    "encode_trades",
    "fill_template",
    "frame_parser",
    "from_trades",
    "group_trades",
    "join_symbols",
    "make_minute_candles",
    "row_parser",
    "rows_to_copy",
]

FrameParser = Callable[[Sequence[bytes], int], tuple[list[TradeColumns], int]]
"""Parses frames received at a time (us): trades, and how many frames they are from."""

RowParser = Callable[[bytes, str, int], tuple[TradeColumns, int]]
"""Parses the lines of a venue's file of trades of a symbol, imported at a time (us), up to one that it is not
sure about: trades, and how many bytes they are from."""


def _import_compiled() -> ModuleType | None:
    choice = os.environ.get("TICKPLANT_KERNEL") or "auto"
    if choice not in ("auto", "python", "compiled"):
        raise FatalError(f"TICKPLANT_KERNEL is {choice!r}; it may be auto, python or compiled")
    if choice == "python":
        return None
    try:
        return import_module(f"{__name__}.compiled")
    except ImportError as error:
        if choice == "auto":
            return None
        raise FatalError(
            f"TICKPLANT_KERNEL=compiled, but there is no compiled kernel ({error});"
            " `make setup` builds it where a C compiler and the headers of Python are"
        ) from error


_compiled = _import_compiled()

NAME: Final[Literal["compiled", "python"]] = "python" if _compiled is None else "compiled"
"""The kernel in use: `compiled` or `python`."""

ROW_FORMAT: Final[Literal["binary", "text"]] = "text" if _compiled is None else "binary"
"""How trades are copied into the database: in the format whose total cost is lower.

Binary rows need less of PostgreSQL's CPU, but writing them in pure Python costs five times what that saves.
"""

concat: Callable[[Sequence[TradeColumns]], TradeColumns] = getattr(_compiled, "concat", _columns.concat)
decode_columns: Callable[[bytes | Raw], list[TradeColumns]] = getattr(
    _compiled, "decode_columns", _wire.decode_columns
)
encode_columns: Callable[[Sequence[TradeColumns]], bytes] = getattr(
    _compiled, "encode_columns", _wire.encode_columns
)
fill_template: Callable[[str, tuple[str, ...], bool], bytes] = getattr(
    _compiled, "fill_template", _fill_template
)


def join_symbols(parts: Sequence[TradeColumns]) -> list[TradeColumns]:
    """Return trades of any symbols, one element a symbol, in order of the symbols' first appearance."""
    groups: dict[tuple[str, str], list[TradeColumns]] = {}
    for part in parts:
        groups.setdefault((part.venue, part.symbol), []).append(part)
    return [concat(group) for group in groups.values()]


def encode_trades(trades: Iterable[Trade]) -> bytes:
    """Encode trades of any symbols, as `encode_columns`."""
    return encode_columns(group_trades(trades))


def decode_trades(payload: bytes | Raw) -> list[Trade]:
    """Decode the trades of an entry one by one, symbol by symbol.

    Raises:
        PoisonError: as `decode_columns`.
    """
    return [trade for columns in decode_columns(payload) for trade in columns.trades()]


def make_minute_candles() -> MinuteCandles:
    """Return candles of a minute of one symbol, without trades yet."""
    made: MinuteCandles = getattr(_compiled, "MinuteCandles", MinuteCandles)()
    return made


def rows_to_copy(columns: TradeColumns) -> bytes:
    """Return a row a trade in `ROW_FORMAT`, for `copy_rows.join_rows`; for valid trades."""
    return columns.copy_binary_rows() if ROW_FORMAT == "binary" else columns.copy_rows()


def frame_parser(venue: str) -> FrameParser | None:
    """Return the compiled parser of a venue's frames; None where there is none."""
    return getattr(_compiled, f"parse_{venue}_frames", None)


def row_parser(venue: str) -> RowParser | None:
    """Return the compiled parser of the rows of a venue's files; None where there is none."""
    return getattr(_compiled, f"parse_{venue}_rows", None)
