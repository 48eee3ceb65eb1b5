"""Files of a recording: complete after every write, rotated, never overwritten."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from ingest.connection import SocketRead
from ingest.recording.capture_file import CaptureFile
from ingest.recording.encoders import ENCODERS, Gzip
from ingest.recording.writer import CaptureWriter, Rotation, capture_path
from sandbox.captures import CaptureProblem, read_captured_trades
from tickplant.intervals import HOUR_US

BEGIN_US = 1_700_000_040_000_000  # 2023-11-14T22:14:00Z


def frame(number: int) -> bytes:
    return b'{"e":"trade","E":1,"s":"BTCUSDT","t":%d,"p":"1.5","q":"2","T":1700000040000,"m":true}' % number


def read(number: int, time_us: int = BEGIN_US) -> SocketRead:
    return SocketRead(time_us, [frame(number)])


def ids(path: Path) -> list[int]:
    problems: list[CaptureProblem] = []
    found = [trade.trade_id for trade in read_captured_trades([path], problems.append)]
    assert not problems
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unpacked(name: str, data: bytes) -> bytes:
    if name == "gzip":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if name == "zstd" else data


@pytest.mark.parametrize("name", ENCODERS)
def test_a_file_is_complete_after_every_write(tmp_path: Path, name: str) -> None:
    file = CaptureFile(tmp_path / "a", ENCODERS[name]())
    lines = [b"%d line %d\n" % (number, number**7) for number in range(600)]
    for start in range(0, 600, 20):
        file.write(lines[start : start + 20])
        content = (tmp_path / "a.part").read_bytes()
        assert unpacked(name, content) == b"".join(lines[: start + 20])
        assert len(content) == file.size
    if name == "gzip":
        assert subprocess.run(["gzip", "-t"], input=content, check=False).returncode == 0
    file.finish()
    assert names(tmp_path) == ["a"]
    assert unpacked(name, (tmp_path / "a").read_bytes()) == b"".join(lines)


def test_compression_by_blocks_costs_little(tmp_path: Path) -> None:
    lines = [b"%d000 %b\n" % (BEGIN_US + number * 997, frame(number)) for number in range(5_000)]
    encoder = Gzip()
    size = sum(len(encoder.encode(b"".join(lines[start : start + 50]))) for start in range(0, 5_000, 50))
    assert size < 1.5 * len(gzip.compress(b"".join(lines), 6))


def test_frames_are_lines_with_their_receive_time(tmp_path: Path) -> None:
    writer = CaptureWriter(capture_path(f"{tmp_path}/a.ndjson", None), venue=None, rotation=Rotation())
    writer.add([SocketRead(BEGIN_US, [b'{"a":1,\n"b":2}', b"{}"]), SocketRead(BEGIN_US + 1, [b"\xff"])])
    writer.flush()
    writer.close()
    assert (tmp_path / "a.ndjson").read_bytes() == (
        b'1700000040000000000 {"a":1, "b":2}\n1700000040000000000 {}\n1700000040000001000 \xff\n'
    )


def test_rotation_by_time_begins_files_at_its_multiples(tmp_path: Path) -> None:
    path = capture_path(f"{tmp_path}/day.ndjson.gz", None)
    writer = CaptureWriter(path, venue="binance", rotation=Rotation(every_us=HOUR_US))
    writer.add([read(1), read(2, BEGIN_US + 45 * 60_000_000)])
    writer.add([read(3, BEGIN_US + 46 * 60_000_000)])  # 23:00
    writer.flush(BEGIN_US + HOUR_US)
    assert names(tmp_path)[0] == "day-binance-20231114T221400Z.ndjson.gz"
    assert names(tmp_path)[1:] == ["day-binance-20231114T230000Z.ndjson.gz.part"]
    writer.flush(BEGIN_US + 2 * HOUR_US)  # finished without another frame
    assert names(tmp_path)[1] == "day-binance-20231114T230000Z.ndjson.gz"
    assert ids(tmp_path) == [1, 2, 3]


def test_rotation_by_size_numbers_the_files_of_one_second(tmp_path: Path) -> None:
    writer = CaptureWriter(
        capture_path(f"{tmp_path}/", "none"), venue="binance", rotation=Rotation(size=1_000)
    )
    for number in range(1, 41):
        writer.add([read(number)])
        writer.flush()
    writer.close()
    assert names(tmp_path) == [
        "binance-20231114T221400Z-2.ndjson",
        "binance-20231114T221400Z-3.ndjson",
        "binance-20231114T221400Z-4.ndjson",
        "binance-20231114T221400Z.ndjson",
    ]
    assert sorted(ids(tmp_path)) == list(range(1, 41))
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(sizes) < 1_200
    assert writer.size == sum(sizes)


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_text("precious")
    writer = CaptureWriter(capture_path(f"{tmp_path}/a.gz", None), venue=None, rotation=Rotation())
    with pytest.raises(FileExistsError, match="the file exists already"):
        writer.prepare()
    writer.close()
    (tmp_path / "a.gz").rename(tmp_path / "b.gz.part")
    with pytest.raises(FileExistsError, match="a recording writes it, or one that was killed"):
        CaptureFile(tmp_path / "b.gz", Gzip())
    assert (tmp_path / "b.gz.part").read_text() == "precious"


def test_a_recording_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    writer = CaptureWriter(capture_path(f"{tmp_path}/a.gz", None), venue=None, rotation=Rotation())
    writer.prepare()
    assert names(tmp_path) == ["a.gz.part"]
    writer.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("output", "compression", "name"),
    [
        ("day.ndjson.gz", None, "day-kraken.ndjson.gz"),
        ("a.b.zst", None, "a-kraken.b.zst"),
        ("day", None, "day-kraken"),
        ("day.jsonl", "gzip", "day-kraken.jsonl"),
        ("day.zst", "zstd", "day-kraken.zst"),
        ("new/", None, "kraken.ndjson.gz"),
        ("new/", "zstd", "kraken.ndjson.zst"),
    ],
)
def test_files_are_named_by_what_the_user_has_named(output: str, compression: str | None, name: str) -> None:
    path = capture_path(output, compression)
    assert path.of(venue="kraken", begin=None).name == name


def test_a_compression_that_contradicts_the_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"day\.gz is the name of a file compressed by gzip"):
        capture_path("day.gz", "zstd")


_WRITE_UNTIL_THE_LIMIT = """
import resource, sys, pathlib
from ingest.recording.capture_file import CaptureFile
from ingest.recording.encoders import ENCODERS
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
file = CaptureFile(pathlib.Path(sys.argv[2]), ENCODERS[sys.argv[1]]())
number = 0
try:
    while True:
        file.write([b"%d %d\\n" % (n, n**9 % 999983) for n in range(number, number + 400)])
        number += 400
except OSError as error:
    print(number, file.lines, error.strerror, error.filename)
file.finish()
"""


@pytest.mark.parametrize("name", ENCODERS)
def test_a_write_that_fails_halfway_leaves_the_lines_from_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a"
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_UNTIL_THE_LIMIT, name, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    count = int(done.stdout.split()[0])
    assert count > 400
    assert done.stdout == f"{count} {count} File too large {path}\n"
    expected = b"".join(b"%d %d\n" % (n, n**9 % 999983) for n in range(count))
    assert unpacked(name, path.read_bytes()) == expected
