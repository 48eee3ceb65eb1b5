"""Trades of an archive's Parquet file come out digit by digit, however they are cut into row groups."""

from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from correct import SYMBOL, random_trades
from msgspec.structs import replace

from maintenance.archive.manifest import ArchiveRoot, DataFile, Manifest, symbol_folder
from maintenance.archive.reading import Archive
from maintenance.archive.store import Store
from maintenance.archive.trade_file import ArchivedDayFile
from tickplant.arrow import parquet
from tickplant.arrow.schemas import schema_of
from tickplant.errors import FatalError
from tickplant.market import Trade
from tickplant.times import to_datetime

EXTREMES = [
    ("1" * 40, "0." + "0" * 37 + "1"),
    ("0", "12345678901234567890.1234567890"),
    ("99999999999999999999.999999999999999999", "7"),
]


def csv_of(trade: Trade) -> str:
    times = [to_datetime(time_us).isoformat(" ") for time_us in (trade.event_time_us, trade.ingest_time_us)]
    scales = [str(len(text.partition(".")[2])) for text in (trade.price, trade.size)]
    fields = [trade.venue, trade.symbol, str(trade.trade_id), trade.price, trade.size, trade.side or ""]
    return ",".join([*fields, *times, *scales]) + "\n"


def archived(folder: Path, trades: list[Trade]) -> tuple[Archive, Manifest]:
    """Write trades as `tickplant archive` does."""
    archive = Archive(Store(str(folder)), ArchiveRoot(archive_id="a", source="live"))
    widths = {
        name: (
            max(len(getattr(trade, name).partition(".")[0]) for trade in trades),
            max(len(getattr(trade, name).partition(".")[2]) for trade in trades),
        )
        for name in ("price", "size")
    }
    name = "trades/2024-08-04.r1.parquet"
    with archive.store.writing(f"{symbol_folder(SYMBOL)}/{name}") as file:
        writer = parquet.ParquetWriter(file, schema_of("trades", widths))
        text = "".join(map(csv_of, trades)).encode()
        for start in range(0, len(text), 997):
            writer.write(text[start : start + 997])
        writer.close()
    data = DataFile(name=name, rows=len(trades), bytes=file.bytes, sha256=file.sha256)
    manifest = Manifest(
        archive_id="a",
        venue=SYMBOL.venue,
        symbol=SYMBOL.symbol,
        day=date(2024, 8, 4),
        revision=1,
        former_sha256=None,
        source="live",
        numbered=True,
        trades=data,
        candles=data,
        first_trade_id=trades[0].trade_id,
        last_trade_id=trades[-1].trade_id,
        missing=[],
        void=[],
        removed=0,
        complete=True,
        minutes=1,
        incomplete_minutes=0,
        state="",
        audit=None,
        comparison=None,
        comparison_note=None,
        archived_at="",
    )
    return archive, manifest


@pytest.mark.parametrize("block_bytes", [1_000, 20_000, 8 << 20])
def test_every_trade_comes_back_as_the_venue_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(parquet, "_BLOCK_BYTES", block_bytes)
    trades = [replace(trade, side=(trade.side, None)[trade.trade_id % 5 == 0]) for trade in random_trades(3)]
    by_time = sorted(trades, key=lambda trade: (trade.event_time_us, trade.trade_id))
    file = ArchivedDayFile(*archived(tmp_path, by_time))
    blocks = list(file.scan())
    assert (len(blocks) > 20) == (block_bytes == 1_000)
    assert all(before.last_id < after.first_id for before, after in pairwise(blocks))
    found = [trade for block in reversed(blocks) for trade in reversed(file.read(block).trades())][::-1]
    assert found == sorted(trades, key=lambda trade: trade.trade_id)
    assert sum(block.trades for block in blocks) == len(trades)
    file.close()


@pytest.mark.parametrize(("price", "size"), EXTREMES)
def test_extreme_decimals_come_back(tmp_path: Path, price: str, size: str) -> None:
    first, second = random_trades(1)[:2]
    trades = [replace(first, price=price, size=size), replace(second, trade_id=first.trade_id + 1)]
    file = ArchivedDayFile(*archived(tmp_path, trades))
    assert [trade for block in file.scan() for trade in file.read(block).trades()] == trades
    file.close()


def test_a_flipped_byte_is_found_before_anything_is_read(tmp_path: Path) -> None:
    archive, manifest = archived(tmp_path, random_trades(1))
    path = next(tmp_path.rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(FatalError, match="was changed"):
        ArchivedDayFile(archive, manifest)
    path.unlink()
    with pytest.raises(FatalError, match="is missing"):
        ArchivedDayFile(archive, manifest)
