"""The table formats of lists: CSV, JSON lines, Arrow and Parquet. Pure.

The columns are the fields of the rows, in their order. CSV and JSON lines have values as JSON has them; Arrow
and Parquet have decimals as wide as the rows need, and times as timestamps in microseconds, UTC.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from io import StringIO
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from api.views.fields import DecimalText, Time

if TYPE_CHECKING:
    from tickplant.arrow.rows import ColumnKind

Width = tuple[int, int]
"""The most digits before and after the point."""


class TooWideError(Exception):
    """A decimal has more digits than its column."""


class RowEncoder(Protocol):
    """Encodes a table part by part."""

    def begin(self) -> bytes:
        """Return what comes before the rows."""

    def rows(self, rows: Sequence[Struct], /) -> bytes:
        """Return the next rows, or what of them and of those before is to be sent now.

        Raises:
            TooWideError: a decimal has more digits than was measured.
        """

    def end(self) -> bytes:
        """Return the rest; raises as `rows`."""


class TableFormat(Struct, frozen=True):
    """A format."""

    name: str
    media_type: str
    encoder: Callable[[type[Struct], Mapping[str, Width]], RowEncoder]
    """Takes the kind of the rows and the widths of their decimals."""
    parameters: str = ""
    """Of the media type."""
    measured: bool = False
    """Whether the encoder needs the widths, and pyarrow."""

    @property
    def content_type(self) -> str:
        """The value of the header."""
        return f"{self.media_type}{self.parameters}"

    def available(self) -> bool:
        """Return whether what it needs is installed."""
        return not self.measured or _has_pyarrow()


@cache
def _has_pyarrow() -> bool:
    """Return whether pyarrow is installed. Looking for it searches folders, and each request asks."""
    return find_spec("pyarrow") is not None


class _CsvEncoder:
    def __init__(self, kind: type[Struct], _widths: Mapping[str, Width]) -> None:
        self._kind = kind

    def begin(self) -> bytes:
        return _csv([[field.encode_name for field in msgspec.structs.fields(self._kind)]])

    def rows(self, rows: Sequence[Struct]) -> bytes:
        return _csv([_cell(value) for value in astuple(row)] for row in rows)

    def end(self) -> bytes:
        return b""


class _LinesEncoder:
    def __init__(self, _kind: type[Struct], _widths: Mapping[str, Width]) -> None:
        self._encoder = msgspec.json.Encoder()

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Struct]) -> bytes:
        return self._encoder.encode_lines(rows)

    def end(self) -> bytes:
        return b""


class _ColumnsEncoder:
    """Arrow or Parquet."""

    def __init__(
        self, format_: Literal["arrow", "parquet"], kind: type[Struct], widths: Mapping[str, Width]
    ) -> None:
        from tickplant.arrow.rows import RowWriter

        self._writer = RowWriter(format_, {**column_kinds(kind), **widths})

    def begin(self) -> bytes:
        return self._writer.take()

    def rows(self, rows: Sequence[Struct]) -> bytes:
        try:
            self._writer.write([[_nested_as_text(value) for value in astuple(row)] for row in rows])
        except ValueError as error:
            raise TooWideError(str(error)) from error
        return self._writer.take()

    def end(self) -> bytes:
        try:
            self._writer.close()
        except ValueError as error:
            raise TooWideError(str(error)) from error
        return self._writer.take()


TABLE_FORMATS: Final = {
    format_.name: format_
    for format_ in (
        TableFormat("csv", "text/csv", _CsvEncoder, "; charset=utf-8; header=present"),
        TableFormat("jsonl", "application/x-ndjson", _LinesEncoder),
        TableFormat(
            "arrow",
            "application/vnd.apache.arrow.stream",
            lambda kind, widths: _ColumnsEncoder("arrow", kind, widths),
            measured=True,
        ),
        TableFormat(
            "parquet",
            "application/vnd.apache.parquet",
            lambda kind, widths: _ColumnsEncoder("parquet", kind, widths),
            measured=True,
        ),
    )
}
"""By name."""


def measure(rows: Sequence[Struct], kind: type[Struct], widths: dict[str, Width]) -> None:
    """Widen the widths of decimals to what some rows need."""
    for name, column in column_kinds(kind).items():
        if column == "decimal":
            whole, places = widths.get(name, (1, 0))
            for row in rows:
                text: str | None = getattr(row, name)
                if text is not None:
                    before, _, after = text.lstrip("-").partition(".")
                    whole, places = max(whole, len(before)), max(places, len(after))
            widths[name] = whole, places


@cache
def column_kinds(kind: type[Struct]) -> Mapping[str, "ColumnKind"]:
    """Return the kind of each column of rows."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: _column_kind(hints[field.name]) for field in msgspec.structs.fields(kind)}


def _column_kind(hint: Any) -> "ColumnKind":
    parts = [*_parts(hint)]
    if DecimalText in parts:
        return "decimal"
    if Time in parts:
        return "time"
    plain = {part for part in parts if isinstance(part, type) and part is not type(None)}
    for type_, column in _PLAIN.items():
        if plain == {type_}:
            return column
    return "text"


_PLAIN: Final[dict[type, "ColumnKind"]] = {bool: "boolean", int: "integer", float: "float"}
_NESTED: Final = (Mapping, list, Struct)


def _parts(hint: Any) -> Iterable[Any]:
    """Yield the types that a hint consists of; `DecimalText` and `Time` also inside further annotations."""
    if get_origin(hint) is Annotated:
        base, *metadata = get_args(hint)
        for known in (DecimalText, Time):
            if get_args(known)[1] in metadata:
                yield known
        yield from _parts(base)
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: text and numbers as in JSON, null as nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _nested_as_text(value)


def _nested_as_text(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, _NESTED) else value
