"""A venue's own candles are read from every form they come in, and compared digit by digit."""

import gzip
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from tickplant.errors import FatalError
from tickplant.klines import Comparison, Kline, Mismatch, compare, read_klines

T = 1_723_161_300_000
LINE = f"{T},61828.0,61860.8,61780.00,61782.25,15.07702"
TWELVE = LINE + f",{T + 59_999},931846.1,2143,7.1,438822.2,0"
KLINE = Kline(
    T * 1000,
    Decimal("61828"),
    Decimal("61860.8"),
    Decimal(61780),
    Decimal("61782.25"),
    Decimal("15.07702"),
    None,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (LINE, None),
        (f"{LINE}\n", None),
        (f"open_time_ms,open,high,low,close,volume\r\n{LINE}\r\n", None),
        (f"\ufeffopen_time,open,high,low,close,volume,count\n{LINE},2143\n\n", 2143),
        (f"{TWELVE}\n", 2143),
        (TWELVE.replace(str(T), f"{T}000"), 2143),
    ],
)
def test_every_layout_is_read(tmp_path: Path, text: str, count: int | None) -> None:
    (kline,) = read_klines(write(tmp_path / "klines.csv", text))
    six = replace(kline, taker_buy_volume=None, taker_buy_quote_volume=None, quote_volume=None)
    assert six == replace(KLINE, trade_count=count)


def test_binances_own_columns_include_what_was_paid_and_what_takers_bought(tmp_path: Path) -> None:
    (kline,) = read_klines(write(tmp_path / "klines.csv", TWELVE))
    sums = kline.quote_volume, kline.taker_buy_volume, kline.taker_buy_quote_volume
    assert sums == (Decimal("931846.1"), Decimal("7.1"), Decimal("438822.2"))


def test_gzip_and_zip_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "klines.gz"
    packed.write_bytes(gzip.compress(LINE.encode()))
    archive = tmp_path / "klines.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("klines.csv", LINE)
    assert list(read_klines(packed)) == list(read_klines(archive)) == [KLINE]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{LINE}\n{LINE}x", "line 2"),
        (f"{LINE}\n1,2,3", "line 2: 3 columns"),
        (LINE.replace(str(T), str(T + 1)), "not the start of a candle of 1m"),
        (LINE.replace("61828.0", "6e4"), "not a plain decimal"),
        ("\x1f\x8b", "can't be read"),
    ],
)
def test_what_is_not_a_candle_is_named_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "klines.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FatalError, match=message):
        list(read_klines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"nowhere\.csv"):
        list(read_klines(tmp_path / "nowhere.csv"))


def outcome(venue: Kline, *ours: Kline) -> Comparison:
    result = Comparison()
    compare([venue], {kline.open_time_us: kline for kline in ours}, result)
    return result


def test_equal_numbers_match_however_they_are_written() -> None:
    assert outcome(KLINE, replace(KLINE, volume=Decimal("15.0770200000"), trade_count=7)) == Comparison(
        matched=1
    )


def test_the_last_digit_counts() -> None:
    result = outcome(KLINE, replace(KLINE, volume=Decimal("15.07702000000001"), complete=False))
    assert result.mismatches == [
        Mismatch(T * 1000, "volume", "15.07702", "15.07702000000001", complete=False)
    ]
    assert (result.matched, result.differing, result.incomplete) == (0, 1, [T * 1000])


def test_taker_buy_volumes_are_compared_where_both_know_them() -> None:
    bought = replace(KLINE, taker_buy_volume=Decimal("7.1"), taker_buy_quote_volume=Decimal("438822.2"))
    assert outcome(bought, KLINE) == outcome(KLINE, bought) == Comparison(matched=1)
    result = outcome(bought, replace(bought, taker_buy_volume=Decimal("7.2")))
    assert [mismatch.column for mismatch in result.mismatches] == ["taker_buy_volume"]


def test_a_minute_counts_once_however_many_columns_differ() -> None:
    result = outcome(
        replace(KLINE, trade_count=2), replace(KLINE, open=Decimal(1), close=Decimal(1), trade_count=1)
    )
    assert [mismatch.column for mismatch in result.mismatches] == ["open", "close", "trade_count"]
    assert result.differing == 1


def test_a_minute_that_we_lack_is_uncovered_unless_nothing_was_traded_in_it() -> None:
    assert outcome(KLINE).uncovered == [T * 1000]
    assert outcome(replace(KLINE, volume=Decimal(0))) == Comparison(matched=1)


def test_counts_are_shown_without_decimals() -> None:
    result = Comparison()
    compare([replace(KLINE, trade_count=1084)], {KLINE.open_time_us: replace(KLINE, trade_count=973)}, result)
    assert result.mismatches == [Mismatch(KLINE.open_time_us, "trade_count", "1084", "973", complete=True)]
