"""Parquet and Arrow files from CSV as PostgreSQL writes it, and back, in bounded memory, without rounding."""

import io
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Protocol, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq

_BLOCK_BYTES: Final = 8 << 20
"""Of CSV: one row group each, some hundred thousand trades."""
_BATCH_ROWS: Final = 65_536


class TableWriter(Protocol):
    """Writes tables into a file, as pyarrow does."""

    def write_table(self, table: pa.Table, /) -> None:
        """Write the rows of a table together."""

    def close(self) -> None:
        """Write the end of the file, but leave it open."""


class Writable(Protocol):
    """A file being written."""

    def write(self, content: Any, /) -> object:
        """Write bytes at the end."""


class _Sink(io.RawIOBase):
    """Passes on what is written until it is cut off: pyarrow writes a file's end also after an error."""

    def __init__(self, file: Writable) -> None:
        self._file: Writable | None = file
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        if self._file is not None:
            self._file.write(content)
        size = memoryview(content).nbytes
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def cut_off(self) -> None:
        self._file = None


class LineWriter:
    """Writes tables from lines of CSV without a header, some hundred thousand rows at a time.

    A context in which the file is written: unless it was closed by the end, its end is not written.
    """

    def __init__(
        self, file: Writable, schema: pa.Schema, make: Callable[[pa.NativeFile], TableWriter]
    ) -> None:
        self._schema = schema
        self._sink = _Sink(file)
        self._writer = make(pa.PythonFile(self._sink, mode="w"))
        self._pending = bytearray()
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._sink.cut_off()

    def write(self, text: bytes) -> None:
        """Add lines, or parts of lines."""
        self._pending += text
        if len(self._pending) >= _BLOCK_BYTES:
            end = self._pending.rfind(b"\n") + 1
            self._write_rows(bytes(memoryview(self._pending)[:end]))
            del self._pending[:end]

    def close(self) -> None:
        """Write the rest and the end of the file."""
        if self._pending:
            self._write_rows(bytes(self._pending))
            self._pending.clear()
        self._writer.close()

    def _write_rows(self, lines: bytes) -> None:
        table = parse_csv(lines, self._schema)
        self.rows += table.num_rows
        self._writer.write_table(table)


class ParquetWriter(LineWriter):
    """Writes a Parquet file, one row group at a time.

    Columns are compressed by zstd, with statistics; times are in microseconds, UTC.
    """

    def __init__(self, file: Writable, schema: pa.Schema) -> None:
        super().__init__(file, schema, lambda sink: pq.ParquetWriter(sink, schema, compression="zstd"))


class ArrowFileWriter(LineWriter):
    """Writes an Arrow file (the IPC file format, also called Feather), compressed by zstd."""

    def __init__(self, file: Writable, schema: pa.Schema) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        super().__init__(file, schema, lambda sink: pa.ipc.new_file(sink, schema, options=options))


def parse_csv(lines: bytes, schema: pa.Schema) -> pa.Table:
    """Return the rows of some lines of CSV without a header; an empty field is null.

    Raises:
        pyarrow.ArrowInvalid: a line has other columns, or a decimal does not fit.
    """
    wide = [field.name for field in schema if pa.types.is_decimal256(field.type)]
    types = {field.name: pa.string() if field.name in wide else _parsed_as(field.type) for field in schema}
    table = pyarrow.csv.read_csv(
        io.BytesIO(lines),
        pyarrow.csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=len(lines) + 1),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t", "true"],
            false_values=["f", "false"],
            strings_can_be_null=True,
        ),
    )
    return table.cast(schema)


def _parsed_as(kind: pa.DataType) -> pa.DataType:
    return pa.dictionary(pa.int32(), pa.string()) if pa.types.is_dictionary(kind) else kind


def csv_blocks(file: "IO[bytes] | pa.NativeFile") -> Iterator[bytes]:
    """Yield the rows of a Parquet file as CSV without a header.

    Raises:
        OSError: the file can't be read or is damaged; also as `pyarrow.ArrowException`.
    """
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
        block = io.BytesIO()
        pyarrow.csv.write_csv(batch, block, options)
        yield block.getvalue()
