"""Files of Parquet and Arrow that an error ends don't look whole."""

import gc
import io
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from tickplant.arrow.parquet import ArrowFileWriter, ParquetWriter

SCHEMA = pa.schema([("id", pa.int64())])
READERS: dict[type[ParquetWriter | ArrowFileWriter], Callable[[io.BytesIO], Any]] = {
    ParquetWriter: pq.read_table,
    ArrowFileWriter: lambda file: pa.ipc.open_file(file).read_all(),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_file_gets_its_end_only_if_it_is_closed(
    kind: type[ParquetWriter | ArrowFileWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    whole, part = io.BytesIO(), io.BytesIO()
    with kind(whole, SCHEMA) as writer:
        writer.write(b"1\n2\n")
        writer.close()
    assert READERS[kind](io.BytesIO(whole.getvalue())).num_rows == 2
    with suppress(KeyboardInterrupt), kind(part, SCHEMA) as writer:
        writer.write(b"1\n" * (6 << 20))
        raise KeyboardInterrupt
    content = part.getvalue()
    part.close()
    del writer
    gc.collect()
    assert content
    with pytest.raises(pa.ArrowInvalid):
        READERS[kind](io.BytesIO(content))
    assert not unraisable
