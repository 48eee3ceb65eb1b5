"""Downloads from Binance's archive over real HTTP: resumed, verified, and refused with the reason."""

import fcntl
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from ingest.imports import binance_archive
from ingest.imports.binance_archive import ArchivedFile, BinanceArchive
from ingest.imports.source import FileError
from ingest.venues.binance_files import FileName, Period
from tickplant.backoff import Backoff
from tickplant.errors import FatalError

NAME = FileName("BTCUSDT", Period.parse("2024-01-05"))
CONTENT = bytes(range(256)) * 4_000


class ArchiveServer(ThreadingHTTPServer):
    """A web server with files, which breaks answers off if it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cut_after = 0
        """How many bytes of an answer are sent before the connection ends, if any."""
        self.statuses: list[int] = []
        """Of the next answers, which fail."""
        self.ranges: list[str | None] = []
        self.whole: str | None = None
        """What answers say of a file's size, if it is not the size."""

    def put(self, name: FileName, content: bytes, checksum: str | None = None) -> None:
        self.files[name.path] = content
        digest = checksum or hashlib.sha256(content).hexdigest()
        self.files[f"{name.path}.CHECKSUM"] = f"{digest}  {name}.zip\n".encode()


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        if not self.path.endswith("CHECKSUM") and asked != "bytes=0-0":
            self.server.ranges.append(asked)
        first, last = 0, len(content) - 1
        if asked:
            low, high = asked.removeprefix("bytes=").split("-")
            first, last = int(low), int(high or last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{self.server.whole or len(content)}")
        else:
            self.send_response(200)
        part = content[first : last + 1]
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        cut = self.server.cut_after if len(part) > 100 else 0
        self.wfile.write(part[:cut] if cut else part)
        if cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
async def archive(
    server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BinanceArchive]:
    monkeypatch.setattr(Backoff, "next_s", lambda _: 0.0)
    async with httpx.AsyncClient() as client:
        yield BinanceArchive(f"http://127.0.0.1:{server.server_port}", client, tmp_path)


async def test_a_download_that_breaks_off_is_resumed(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.put(NAME, CONTENT)
    server.cut_after = 300_000
    listing = await archive.find("BTCUSDT", [NAME.period])
    assert listing.files == [ArchivedFile(NAME, len(CONTENT))]
    path = await archive.download(listing.files[0])
    assert path.read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert server.ranges[1:] == [f"bytes={start}-" for start in (300_000, 600_000, 900_000)]
    count = len(server.ranges)
    assert await archive.download(listing.files[0]) == path
    assert len(server.ranges) == count, "what is there is not downloaded again"


@pytest.mark.parametrize("whole", ["*", "\u00b2\u00b3", "9" * 5_000, "-1", "x"])
async def test_a_size_that_is_none_is_unknown(
    server: ArchiveServer, archive: BinanceArchive, whole: str
) -> None:
    server.put(NAME, CONTENT)
    server.whole = whole
    listing = await archive.find("BTCUSDT", [NAME.period])
    assert [file.size for file in listing.files] == [0]
    assert (await archive.download(listing.files[0])).read_bytes() == CONTENT


async def test_failures_that_pass_are_waited_for(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.put(NAME, CONTENT)
    server.statuses = [503, 500, 429, 502]
    listing = await archive.find("BTCUSDT", [NAME.period])
    assert (await archive.download(listing.files[0])).read_bytes() == CONTENT


async def test_a_wrong_checksum_is_refused_and_nothing_is_left(
    server: ArchiveServer, archive: BinanceArchive
) -> None:
    server.put(NAME, CONTENT, checksum="0" * 64)
    with pytest.raises(FileError, match=r"SHA-256 is .* but its CHECKSUM file says 0000"):
        await archive.download(ArchivedFile(NAME, len(CONTENT)))
    assert list(archive.folder.iterdir()) == []
    server.files[f"{NAME.path}.CHECKSUM"] = b"<html>"
    with pytest.raises(FileError, match="is not a SHA-256"):
        await archive.download(ArchivedFile(NAME, len(CONTENT)))


@pytest.mark.parametrize("left", ["part", "zip", "whole part"])
async def test_what_is_left_of_another_version_is_replaced(
    server: ArchiveServer, archive: BinanceArchive, left: str
) -> None:
    server.put(NAME, CONTENT)
    path = archive.path_of(NAME)
    path.parent.mkdir()
    if left == "zip":
        path.write_bytes(b"of yesterday")
    else:
        path.with_suffix(".part").write_bytes(bytes(len(CONTENT) if left == "whole part" else 1_000))
    assert (await archive.download(ArchivedFile(NAME, len(CONTENT)))).read_bytes() == CONTENT


async def test_a_month_that_is_not_there_yet_is_replaced_by_its_days(
    server: ArchiveServer, archive: BinanceArchive
) -> None:
    january, february = Period.parse("2024-01"), Period.parse("2024-02")
    server.put(FileName("BTCUSDT", january), b"z" * 50)
    for day in ("2024-02-01", "2024-02-03"):
        server.put(FileName("BTCUSDT", Period.parse(day)), b"z" * 20)
    listing = await archive.find("BTCUSDT", [january, february])
    assert [(str(file.name.period), file.size) for file in listing.files] == [
        ("2024-01", 50),
        ("2024-02-01", 20),
        ("2024-02-03", 20),
    ]
    assert [str(day) for day in listing.absent[:2]] == ["2024-02-02", "2024-02-04"]
    assert len(listing.absent) == 27


async def test_a_refusal_and_an_outage_are_reported(
    server: ArchiveServer, archive: BinanceArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.statuses = [403]
    with pytest.raises(FatalError, match="answers with status 403"):
        await archive.find("BTCUSDT", [NAME.period])
    monkeypatch.setattr(binance_archive, "_ATTEMPTS", 3)
    server.statuses = [500] * 3
    with pytest.raises(FatalError, match="TICKPLANT_BINANCE_ARCHIVE_URL"):
        await archive.find("BTCUSDT", [NAME.period])


async def test_a_file_is_downloaded_by_one_process_at_a_time(
    server: ArchiveServer, archive: BinanceArchive
) -> None:
    server.put(NAME, CONTENT)
    part = archive.path_of(NAME).with_suffix(".part")
    part.parent.mkdir()
    with part.open("ab") as other:  # locks belong to an open file, as if another process had opened it
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FatalError, match="another import is downloading BTCUSDT-trades-2024-01-05"):
            await archive.download(ArchivedFile(NAME, len(CONTENT)))
        assert part.read_bytes() == b""
    assert (await archive.download(ArchivedFile(NAME, len(CONTENT)))).read_bytes() == CONTENT
    assert [*archive.folder.iterdir()] == [archive.path_of(NAME)]


async def test_a_folder_that_cannot_be_used_is_named(server: ArchiveServer, archive: BinanceArchive) -> None:
    server.put(NAME, CONTENT)
    archive.folder.write_bytes(b"a file")
    with pytest.raises(FatalError, match=f"can't use the folder {archive.folder}: File exists; .*--cache"):
        await archive.download(ArchivedFile(NAME, len(CONTENT)))
