"""Rows of text and numbers as an Arrow stream or a Parquet file, written part by part."""

import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from tickplant.arrow.schemas import TIME, decimal_type

ColumnKind = Literal["decimal", "time", "integer", "float", "boolean", "text"]
"""What the values of a column are; decimals and times are text."""

_TYPES: Final[dict[str, pa.DataType]] = {
    "decimal": pa.string(),
    "time": TIME,
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}
_ROWS: Final = 50_000
"""Written together: some megabytes."""


class RowWriter:
    """Writes rows; what is written is taken from time to time."""

    def __init__(
        self, format_: Literal["arrow", "parquet"], columns: Mapping[str, ColumnKind | tuple[int, int]]
    ) -> None:
        """Begin.

        Args:
            format_: an Arrow stream (the IPC streaming format) or a Parquet file, both compressed by zstd.
            columns: by name: the kind, or, of decimals, the most digits before and after the point.
        """
        fields = [
            (name, _TYPES[kind] if isinstance(kind, str) else decimal_type(*kind))
            for name, kind in columns.items()
        ]
        self._schema = pa.schema(fields)
        self._written = _Written()
        file = pa.PythonFile(self._written, mode="w")
        if format_ == "parquet":
            self._writer: Any = pq.ParquetWriter(file, self._schema, compression="zstd")
        else:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = pa.ipc.new_stream(file, self._schema, options=options)
        self._pending: list[Sequence[Sequence[Any]]] = []
        self._count = 0

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows.

        Raises:
            ValueError: a decimal is too wide for its column.
        """
        self._pending.append(rows)
        self._count += len(rows)
        if self._count >= _ROWS:
            self._flush()

    def close(self) -> None:
        """Write the rest; raises as `write`."""
        self._flush()
        self._writer.close()

    def take(self) -> bytes:
        """Return what was written since the last call."""
        return self._written.take()

    def _flush(self) -> None:
        if self._count:
            columns = zip(*chain(*self._pending), strict=True)
            arrays = [_array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._pending.clear()
        self._count = 0


class _Written(io.RawIOBase):
    """A file in memory that is emptied while it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        part = bytes(content)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        content = b"".join(self._parts)
        self._parts.clear()
        return content


def _array(values: Sequence[Any], type_: pa.DataType) -> Any:
    if pa.types.is_decimal(type_) or pa.types.is_timestamp(type_):
        return pa.array(values, pa.string()).cast(type_)
    return pa.array(values, type_)
