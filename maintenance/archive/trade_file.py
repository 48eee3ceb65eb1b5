"""The trades of an archived day, as an import reads them."""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from db.archive_rows import day_start
from ingest.imports.source import Block, FileError, block_of
from maintenance.archive.manifest import Manifest, symbol_folder
from maintenance.archive.reading import Archive
from tickplant.columns import SIDES
from tickplant.intervals import DAY_US
from tickplant.kernel import TradeColumns
from tickplant.market import SymbolId
from tickplant.times import to_us

_TIMES: Final = ["event_time", "ingest_time"]
_LETTERS: Final = {side: letter for letter, side in SIDES.items()}


class ArchivedDayFile:
    """A `TradeFile` of an archive."""

    def __init__(self, archive: Archive, manifest: Manifest) -> None:
        """Open the file of a day, and compare its hash with the manifest's.

        Raises:
            FatalError: it is missing or was changed.
        """
        self.symbol: Final = manifest.symbol_id
        self.name: Final = f"{symbol_folder(self.symbol)}/{manifest.trades.name}"
        self.start_us: Final = to_us(day_start(manifest.day))
        self.end_us: Final = self.start_us + DAY_US
        archive.require_unchanged(manifest.symbol_id, manifest.trades)
        self._stream = archive.store.open(self.name)
        self._file = pq.ParquetFile(self._stream)
        self._groups: list[tuple[int, int]] = []
        self._cuts: list[tuple[int, int]] = []

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def scan(self) -> Iterator[Block]:
        """Read everything; yield the blocks; see `TradeFile`.

        The file is in order of time; ids of neighbouring row groups may overlap a little.
        """
        self._groups = [self._ids_of(number) for number in range(self._file.num_row_groups)]
        if not self._groups:
            raise FileError(f"{self.name}: it has no trades")
        starts = sorted({low for low, _ in self._groups})
        ends = [*(start - 1 for start in starts[1:]), max(high for _, high in self._groups)]
        self._cuts = list(zip(starts, ends, strict=True))
        for number in range(len(self._cuts)):
            yield block_of(number, self._read(number))

    def read(self, block: Block) -> TradeColumns:
        """Return the trades of a block; see `TradeFile`."""
        return self._read(block.number)

    def _ids_of(self, group: int) -> tuple[int, int]:
        found: Any = pc.min_max(self._group(group, ["trade_id"]).column(0)).as_py()
        return found["min"], found["max"]

    def _group(self, group: int, columns: list[str] | None = None) -> pa.Table:
        try:
            return self._file.read_row_group(group, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise FileError(f"{self.name}: it can't be read: {error}") from error

    def _read(self, number: int) -> TradeColumns:
        low, high = self._cuts[number]
        groups = [group for group, (first, last) in enumerate(self._groups) if first <= high and last >= low]
        rows = pa.concat_tables([self._group(group) for group in groups], promote_options="default")
        within = (pc.field("trade_id") >= low) & (pc.field("trade_id") <= high)
        return columns_of(self.symbol, rows.filter(within).sort_by("trade_id"))


def columns_of(symbol: SymbolId, rows: pa.Table) -> TradeColumns:
    """Return the rows of a file as columns, with as many decimal places as the venue wrote."""
    values: dict[str, list[Any]] = rows.drop_columns(["venue", "symbol", *_TIMES]).to_pydict()
    times: dict[str, list[Any]] = (
        rows.select(_TIMES).cast(pa.schema([(name, pa.int64()) for name in _TIMES])).to_pydict()
    )
    prices, sizes = (
        _texts(rows.schema.field(name).type, values[name], values[f"{name}_scale"])
        for name in ("price", "size")
    )
    sides = "".join(map(_LETTERS.__getitem__, values["side"]))
    return TradeColumns(*symbol, values["trade_id"], prices, sizes, sides, *(times[name] for name in _TIMES))


def _texts(kind: Any, values: list[Any], scales: list[int]) -> list[str]:
    if pa.types.is_string(kind):  # wider than any decimal: as it was written
        return values
    width: int = kind.scale
    texts = []
    for value, places in zip(values, scales, strict=True):
        text = f"{value:f}"
        # The point goes, too, where there are no places.
        texts.append(text if places == width else text[: places - width - (places == 0)])
    return texts
