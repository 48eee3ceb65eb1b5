"""Files of Binance's archive: read exactly, in any order of blocks; damage is named with its place."""

import random
import zipfile
from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ingest.imports import text_file
from ingest.imports.binance_csv import BinanceCsv
from ingest.imports.source import FileError
from ingest.venues.binance_files import (
    FileName,
    Period,
    parse_row,
    parse_rows,
    parse_rows_in_python,
    split_periods,
)
from tickplant.errors import PoisonError

NAME = "BTCUSDT-trades-2024-01-01"
START_MS = 1_704_067_200_000
HEADER = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n"


def row(trade_id: int, time: int = START_MS, price: str = "42283.58000000", maker: str = "True") -> str:
    return f"{trade_id},{price},0.00300000,126.85074000,{time},{maker},True\n"


def rows(count: int, first: int = 100) -> str:
    return "".join(row(first + i, START_MS + i, maker=str(i % 3 == 0)) for i in range(count))


def zipped(
    folder: Path, text: str, *, name: str = NAME, inner: str | None = None, method: int = zipfile.ZIP_DEFLATED
) -> Path:
    path = Path(mkdtemp(dir=folder)) / f"{name}.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(f"{inner or name}.csv", text)
    return path


def plain(folder: Path, text: str, *, name: str = NAME) -> Path:
    path = folder / f"{name}.csv"
    path.write_text(text, newline="")
    return path


def scanned(path: Path) -> list[Any]:
    file = BinanceCsv(path)
    try:
        blocks = list(file.scan())
        return [replace(trade, ingest_time_us=0) for block in blocks for trade in file.read(block).trades()]
    finally:
        file.close()


@pytest.mark.parametrize("form", ["zip", "stored", "csv"])
@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_blocks_are_read_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, header: str, end: str
) -> None:
    monkeypatch.setattr(text_file, "_BLOCK_BYTES", 1_000)
    monkeypatch.setattr(text_file, "_READ_BYTES", 77)
    text = (header + rows(500)).removesuffix("\n").replace("\n", end or "\n") + end
    method = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
    path = plain(tmp_path, text) if form == "csv" else zipped(tmp_path, text, method=method)
    file = BinanceCsv(path)
    blocks = list(file.scan())
    assert len(blocks) > 20
    assert [block.trades for block in blocks] == [block.trades for block in list(file.scan())]
    random.Random(1).shuffle(blocks)
    trades = sorted(
        (trade for block in blocks for trade in file.read(block).trades()), key=lambda t: t.trade_id
    )
    file.close()
    assert [trade.trade_id for trade in trades] == list(range(100, 600))
    assert {(trade.price, trade.size) for trade in trades} == {("42283.58000000", "0.00300000")}
    assert [trade.event_time_us for trade in trades] == [(START_MS + i) * 1000 for i in range(500)]
    assert [trade.side for trade in trades] == ["sell" if i % 3 == 0 else "buy" for i in range(500)]


def test_times_are_microseconds_where_the_archive_has_them(tmp_path: Path) -> None:
    assert scanned(plain(tmp_path, row(1, START_MS * 1000 + 123)))[0].event_time_us == START_MS * 1000 + 123


ODD = [
    (row(1) + row(3)[:30], "line 2"),
    (row(1) + "garbage\n" + row(3), "line 2: 1 columns"),
    (row(1) + row(1), "line 2: id 1 comes after 1"),
    (HEADER + row(2) + row(1), "line 3: id 1 comes after 2"),
    (row(1) + row(2, START_MS + 86_400_000 + 1_000), "line 2: a trade of another time than 2024-01-01"),
    (row(1, price="1e5"), "line 1: price"),
    (row(1, maker="maybe"), "expected True or False"),
    (row(1) + "\n" + row(2), "line 2: 1 columns"),
    ("1,2.0,1.0,10,11,1704067200000,True,True\n", "aggregate trades"),
    ("agg_trade_id,price\n1,2.0\n", "aggregate trades"),
    ("1704067200.1234,42000.1,0.5\n", "no trade ids"),
    ("1704067200000,1,1,1,1,1,1704067259999,1,1,1,1,0\n", "candles"),
    ("", "it has no trades"),
    (HEADER, "it has no trades"),
    ("\x00" * 500, "line 1"),
]


@pytest.mark.parametrize(("text", "message"), ODD)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    for path in (plain(tmp_path, text), zipped(tmp_path, text)):
        with pytest.raises(FileError) as found:
            scanned(path)
        assert message in str(found.value)
        assert str(path) in str(found.value)


def test_a_bad_row_of_a_later_block_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "_BLOCK_BYTES", 1_000)
    with pytest.raises(FileError, match="line 301: 2 columns"):
        scanned(zipped(tmp_path, rows(300) + "1,2\n" + rows(10, 900)))
    with pytest.raises(FileError, match="line 302: id 398 comes after 900"):
        scanned(zipped(tmp_path, rows(300) + row(900) + row(398)))


def test_every_truncation_and_flipped_byte_of_a_zip_is_found(tmp_path: Path) -> None:
    path = zipped(tmp_path, rows(40))
    whole = path.read_bytes()
    expected = scanned(path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            scanned(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = scanned(path)
        except FileError:
            continue
        assert found == expected, place  # a byte that says nothing, such as the time of the zip


def test_other_zips_and_names_are_refused_with_the_reason(tmp_path: Path) -> None:
    cases = [
        (zipped(tmp_path, row(1), method=zipfile.ZIP_LZMA), "LZMA"),
        (zipped(tmp_path, row(1), inner="ETHUSDT-trades-2024-01-01"), "contains ETHUSDT-trades-2024-01-01"),
        (zipped(tmp_path, row(1), name="BTCUSDT-aggTrades-2024-01-01"), "aggregate trades"),
        (zipped(tmp_path, row(1), name="BTCUSDT-1m-2024-01-01"), "by --candles"),
        (plain(tmp_path, row(1), name="trades"), "does not say of which symbol"),
        (plain(tmp_path, row(1), name="BTCUSDT-trades-2024-13"), "no possible date"),
    ]
    two = tmp_path / "BTCUSDT-trades-2024-01-02.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    for path, message in [*cases, (two, "found 2")]:
        with pytest.raises(FileError, match=message):
            scanned(path)


LINES = st.lists(
    st.one_of(
        st.builds(row, st.integers(0, 2**63)),
        st.builds(row, st.integers(1, 99), st.sampled_from([0, 10**13, 10**14, 10**15, 10**17, START_MS])),
        st.builds(
            row,
            st.integers(1, 99),
            price=st.sampled_from(["0", ".5", "5.", "9" * 40, "9" * 41, "1e5", "", "٣"]),
        ),
        st.text("0123456789.,TrueFals\r\n \"'", max_size=80),
    ),
    max_size=5,
)


@given(LINES, st.integers(0, 300), st.binary(max_size=2))
@settings(max_examples=200, deadline=None)
def test_the_kernel_reads_rows_as_python_does_or_leaves_them(
    lines: list[str], place: int, put: bytes
) -> None:
    content = "".join(lines).encode()
    content = content[:place] + put + content[place:]
    found, consumed = parse_rows(content, "BTCUSDT", 1)
    expected, all_consumed = parse_rows_in_python(content, "BTCUSDT", 1)
    assert consumed <= all_consumed
    assert found.trades() == expected.trades()[: len(found)]
    if consumed < all_consumed:  # it has left a row, which is parsed alone
        line = content[consumed:].partition(b"\n")[0].removesuffix(b"\r").decode()
        assert parse_row(line, "BTCUSDT", 1) == expected.trades()[len(found)]


def test_whole_months_are_one_file_and_other_days_one_each() -> None:
    periods = split_periods(date(2024, 1, 30), date(2024, 3, 3), date(2026, 1, 1))
    assert list(map(str, periods)) == ["2024-01-30", "2024-01-31", "2024-02", "2024-03-01", "2024-03-02"]
    assert [str(it) for it in split_periods(date(2024, 1, 1), date(2024, 2, 1), date(2024, 1, 3))] == [
        "2024-01-01",
        "2024-01-02",
    ]
    assert FileName("BTCUSDT", Period.parse("2024-02")).path == (
        "/data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-02.zip"
    )
    assert FileName.parse(NAME).path == f"/data/spot/daily/trades/BTCUSDT/{NAME}.zip"
    with pytest.raises(PoisonError):
        FileName.parse("BTCUSDT-trades-24-02")


@pytest.mark.parametrize("text", ["9999-12", "9999-12-31", "0001-01", "1969-12-31", "2024-13", "2024", ""])
def test_a_period_of_an_impossible_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Period.parse(text)
