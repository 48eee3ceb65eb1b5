"""The sandbox's archive has the layout of Binance's: only periods that have ended, whole or in part."""

import hashlib
import io
import zipfile
from datetime import UTC, date, datetime

from past_venue import PastVenue, days_of_trades

from sandbox.binance.archive import SandboxArchive
from sandbox.venue import Answer
from tickplant.times import to_us

TRADES = days_of_trades(date(2024, 12, 30), 3, 50)
BASE = "/data/spot"


def get(path: str, now: datetime = datetime(2025, 1, 2, tzinfo=UTC), **headers: str) -> Answer:
    return SandboxArchive(PastVenue(TRADES)).get(BASE + path, headers, to_us(now))


def day(text: str) -> str:
    return f"/daily/trades/AAAUSDT/AAAUSDT-trades-{text}.zip"


def rows(answer: Answer) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        (name,) = archive.namelist()
        assert name.endswith(".csv")
        return [line.split(",") for line in archive.read(name).decode().splitlines()]


def test_a_day_has_its_trades_in_the_unit_of_its_year() -> None:
    for start, text, unit in ((0, "2024-12-30", 1000), (100, "2025-01-01", 1)):
        found = rows(get(day(text)))
        expected = TRADES[start : start + 50]
        assert [int(row[0]) for row in found] == [trade.trade_id for trade in expected]
        assert [int(row[4]) for row in found] == [trade.event_time_us // unit for trade in expected]
        assert {row[5] for row in found} == {"True", "False"}
        assert [(row[1], row[2]) for row in found] == [(trade.price, trade.size) for trade in expected]


def test_a_month_has_its_days_once_it_has_ended() -> None:
    path = "/monthly/trades/AAAUSDT/AAAUSDT-trades-2024-12.zip"
    assert len(rows(get(path))) == 100
    assert get(path, datetime(2024, 12, 31, 23, tzinfo=UTC)).status == 404


def test_what_there_is_not_is_not_found() -> None:
    for path in (
        day("2024-12-29"),
        day("2025-01-02"),
        day("2024-13-01"),
        day("2024-12"),
        "/monthly/trades/AAAUSDT/AAAUSDT-trades-2024-12-30.zip",
        "/daily/trades/AAAUSDT/BBBUSDT-trades-2024-12-30.zip",
        "/daily/trades/BBBUSDT/BBBUSDT-trades-2024-12-30.zip",
        "/daily/klines/AAAUSDT/AAAUSDT-1m-2024-12-30.zip",
        "/daily/klines/AAAUSDT/1w/AAAUSDT-1w-2024-12-30.zip",
        "/daily/klines/AAAUSDT/1h/AAAUSDT-1m-2024-12-30.zip",
        "/daily/klines/AAAUSDT/7h/AAAUSDT-7h-2024-12-30.zip",
    ):
        assert get(path).status == 404, path
        assert get(f"{path}.CHECKSUM").status == 404, path
    assert get(day("2025-01-01"), datetime(2025, 1, 1, 23, 59, tzinfo=UTC)).status == 404


def test_a_part_and_the_checksum_are_of_the_same_bytes() -> None:
    whole = get(day("2024-12-30")).body
    part = get(day("2024-12-30"), Range="bytes=100-")
    assert (part.status, part.body) == (206, whole[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert get(day("2024-12-30"), Range="bytes=0-0").body == whole[:1]
    assert get(day("2024-12-30"), Range=f"bytes={len(whole)}-").status == 416
    checksum = get(day("2024-12-30") + ".CHECKSUM").body.decode()
    assert checksum == f"{hashlib.sha256(whole).hexdigest()}  AAAUSDT-trades-2024-12-30.zip\n"
