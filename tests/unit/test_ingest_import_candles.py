"""Files of candles of Binance's archive: what is read of them, and which lines and files are refused."""

import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from ingest.imports.binance_candles import CandleFile, FileCandles
from ingest.imports.source import FileError

START_MS = 1_704_067_200_000  # 2024-01-01, a Monday
HOUR_MS = 3_600_000


def line(
    hour: int, *, count: int = 3, volume: str = "2.5", low: str = "9", high: str = "12", unit: int = 1
) -> str:
    time = (START_MS + hour * HOUR_MS) * unit
    fields = (
        time,
        "10",
        high,
        low,
        "11.00000000",
        volume,
        time + HOUR_MS * unit - 1,
        "26.1",
        count,
        "1",
        "10.3",
        "0",
    )
    return ",".join(map(str, fields))


def read(path: Path) -> FileCandles:
    file = CandleFile(path)
    try:
        return file.read()
    finally:
        file.close()


def write(folder: Path, *lines: str, name: str = "BTCUSDT-1h-2024-01-01") -> Path:
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{each}\n" for each in lines))
    return path


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize(
    "header", [(), ("open_time,open,high,low,close,volume,close_time,x,count,a,b,ignore",)]
)
def test_candles_are_read_in_either_unit_with_and_without_a_header(
    tmp_path: Path, unit: int, header: tuple[str, ...]
) -> None:
    path = write(tmp_path, *header, line(1, unit=unit), line(2, unit=unit))
    packed = tmp_path / "zipped" / "BTCUSDT-1h-2024-01-01.zip"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    assert read(path) == read(packed)
    candles, refused, count = read(path)
    assert (refused, count) == ([], 0)
    assert [candle.open_time_us for candle in candles] == [(START_MS + n * HOUR_MS) * 1000 for n in (1, 2)]
    assert (candles[0].open, candles[0].quote_volume) == (Decimal(10), Decimal("26.1"))
    assert candles[0].trade_count == 3
    assert str(candles[0].close) == "11.00000000"


def test_intervals_without_trades_are_left_out_and_repeated_ones_count_once(tmp_path: Path) -> None:
    path = write(tmp_path, line(3), line(1, count=0, volume="0.00000000"), line(2, count=4), line(2, count=5))
    candles, refused, _ = read(path)
    assert ([candle.trade_count for candle in candles], refused) == ([5, 3], [])


@pytest.mark.parametrize(
    "first", ["", "open_time,open,high,low,close,volume,close_time,x,count,a,b,ignore\n"]
)
def test_a_byte_order_mark_takes_no_candle_away(tmp_path: Path, first: str) -> None:
    path = write(tmp_path, line(1), line(2))
    path.write_text(f"\ufeff{first}{path.read_text()}")
    candles, refused, _ = read(path)
    assert (len(candles), refused) == (2, [])


@pytest.mark.parametrize("bad", ["-1704070800000,1,2", "", f'"{line(1)}"', "\0\0"])
def test_a_damaged_first_line_is_not_taken_for_names(tmp_path: Path, bad: str) -> None:
    candles, refused, count = read(write(tmp_path, bad, line(5)))
    assert (len(candles), count) == (1, 1 if bad else 0)
    assert [each.number for each in refused] == [1] * count


def test_a_file_without_candles_is_refused(tmp_path: Path) -> None:
    for lines in ((), ("open_time,open",)):
        with pytest.raises(FileError, match="it has no candles"):
            read(write(tmp_path, *lines))


def test_refused_lines_are_counted_and_the_first_kept(tmp_path: Path) -> None:
    candles, refused, count = read(write(tmp_path, *["1,2"] * 5_000, line(5)))
    assert (len(candles), count, [each.number for each in refused]) == (1, 5_000, [1, 2, 3])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1704070800000,1,2,3", "4 columns"),
        (line(24), "another time than 2024-01-01"),
        (line(-1), "another time than 2024-01-01"),
        (line(1).replace("1704070800000,", "1704070800001,"), "not the start of a candle of 1h"),
        (line(1, low="10.5"), "not between its low and its high"),
        (line(1, high="10.5"), "not between its low and its high"),
        (line(1, count=0), "contradict each other"),
        (line(1, count=-3), "number of trades is not a whole number"),
        (line(1, count=10**19), "number of trades is not a whole number"),
        (line(1).replace(",3,", ",3_0,"), "number of trades is not a whole number"),
        (line(1).replace(",3,", ",\u0663,"), "number of trades is not a whole number"),
        (line(1, low="0.00"), "a price of 0"),
        (line(1, volume="0.9"), "takers bought more"),
        (line(1, volume="0"), "contradict each other"),
        (line(1, volume="1e5"), "volume is not a plain decimal"),
        (line(1, volume="-1"), "volume is not a plain decimal"),
        (line(1).replace(",3,", ",x,"), "number of trades is not a whole number"),
        (line(1).replace("1704070800000,", "9" * 5000 + ","), "open time is not a whole number"),
    ],
)
def test_a_line_that_is_no_possible_candle_is_refused_and_others_are_read(
    tmp_path: Path, bad: str, reason: str
) -> None:
    candles, refused, _ = read(write(tmp_path, line(5), bad, line(6)))
    assert len(candles) == 2
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(refused[0].reason)
    assert [each.number for each in refused] == [2]


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, line(5))
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + line(6).encode())
    candles, refused, _ = read(path)
    assert (len(candles), [each.number for each in refused]) == (2, [2])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("BTCUSDT-trades-2024-01-01", "imported without --candles"),
        ("BTCUSDT-3m-2024-01-01", "only candles of 1m, 5m"),
        ("BTCUSDT-aggTrades-2024-01-01", "aggregate trades"),
        ("klines", "does not say of which symbol"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(FileError, match=reason):
        CandleFile(write(tmp_path, line(1), name=name))


def test_a_week_may_begin_before_its_month(tmp_path: Path) -> None:
    monday_ms = 1_706_486_400_000  # 2024-01-29
    rows = [line(0).replace(str(START_MS), str(monday_ms + n * 7 * 24 * HOUR_MS)) for n in range(2)]
    candles, refused, _ = read(write(tmp_path, *rows, name="BTCUSDT-1w-2024-02"))
    assert (len(candles), refused) == (2, [])
