"""Binance's public archive over HTTP: which files there are, and their download, resumed and verified."""

import asyncio
import fcntl
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx

from ingest.imports.source import FileError
from ingest.venues.binance_files import ONLY_MONTHS, TRADES, FileName, Period, days_of
from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.network_errors import network_reason

T = TypeVar("T")

_AT_ONCE: Final = 8
"""Requests for the sizes of files, side by side."""
_ATTEMPTS: Final = 6
"""Attempts in a row without progress."""
_SHA256_CHARS: Final = 64
_MOST_DIGITS: Final = 18
"""Of a size."""
_TEMPORARY: Final = (408, 425, 429)


class ArchivedFile(NamedTuple):
    """A file of the archive."""

    name: FileName
    size: int
    """Of its zip, in bytes."""

    @property
    def start_us(self) -> int:
        """The time before which it has no trade, in microseconds since the epoch."""
        return self.name.period.start_us


class Listing(NamedTuple):
    """The files of a symbol and a time range."""

    files: list[ArchivedFile]
    absent: list[Period]
    """Days that the archive has no file of; months, of a kind that has none of days."""


class BinanceArchive:
    """The archive, and the folder into which its files are downloaded.

    Args:
        base_url: its address.
        client: stays the caller's.
        cache: the folder; everything in it may be deleted at any time.
    """

    def __init__(self, base_url: str, client: httpx.AsyncClient, cache: Path) -> None:
        self._base_url = base_url.rstrip("/")
        self._client = client
        self.folder = cache / urlsplit(base_url).netloc.replace(":", "_")
        self._requests = asyncio.Semaphore(_AT_ONCE)

    def path_of(self, name: FileName) -> Path:
        """Return where a file is once it has been downloaded."""
        return self.folder / f"{name}.zip"

    async def find(
        self,
        symbol: str,
        periods: Sequence[Period],
        kind: str = TRADES,
        on_progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> Listing:
        """Look for files; a month that the archive does not have yet is replaced by its days.

        Args:
            symbol: as Binance writes it.
            periods: days and months, ascending.
            kind: `TRADES`, or an interval of candles.
            on_progress: receives how many files have been looked for, and how many are to be.

        Raises:
            FatalError: the archive can't be reached, or refuses.
        """
        if kind in ONLY_MONTHS:
            periods = [period for period in periods if not period.is_day]
        found, absent = await self._find(symbol, periods, kind, on_progress)
        months = [] if kind in ONLY_MONTHS else [period for period in absent if not period.is_day]
        days = [day for month in months for day in days_of(month)]
        more, absent_days = await self._find(symbol, days, kind, on_progress)
        absent_days += [period for period in absent if period not in months]
        return Listing(
            sorted(found + more, key=lambda file: file.start_us),
            sorted(absent_days, key=lambda entry: entry.start),
        )

    async def download(self, file: ArchivedFile, on_bytes: Callable[[int], None] = lambda _: None) -> Path:
        """Download a file, unless it is there already, and verify it.

        Args:
            file: from `find`.
            on_bytes: receives how many bytes there are.

        Raises:
            FileError: it does not have the checksum that the archive gives.
            FatalError: the archive can't be reached, or refuses; or another process is downloading the file;
                or the folder can't be used.
        """
        path = self.path_of(file.name)
        expected = await self._read_checksum(file.name)
        with usable(self.folder), _alone(path.with_suffix(".part")) as part:
            if path.exists():
                if await asyncio.to_thread(_sha256, path) == expected:
                    on_bytes(file.size)
                    return path
                path.unlink()  # the archive has replaced it since
            resumed = _size(part) > 0
            await self._retry(lambda: self._fetch(file, part, on_bytes), lambda: _size(part))
            found = await asyncio.to_thread(_sha256, part)
            if found == expected:
                part.replace(path)
                return path
            part.unlink()
        if resumed:  # the part was of another version of the file, or damaged
            return await self.download(file, on_bytes)
        raise FileError(
            f"{self._base_url}{file.name.path} is damaged: its SHA-256 is {found}, but its CHECKSUM"
            f" file says {expected}. Nothing of it was stored; try again later"
        )

    async def _find(
        self, symbol: str, periods: Sequence[Period], kind: str, on_progress: Callable[[int, int], object]
    ) -> tuple[list[ArchivedFile], list[Period]]:
        names = [FileName(symbol, period, kind) for period in periods]
        done = 0

        async def look(name: FileName) -> int | None:
            nonlocal done
            size = await self._read_size(name)
            done += 1
            on_progress(done, len(names))
            return size

        sizes = await asyncio.gather(*map(look, names))
        found = [
            ArchivedFile(name, size) for name, size in zip(names, sizes, strict=True) if size is not None
        ]
        return found, [name.period for name, size in zip(names, sizes, strict=True) if size is None]

    async def _read_size(self, name: FileName) -> int | None:
        """Return the size of a zip; None where there is none."""

        async def read() -> int | None:
            async with self._client.stream(
                "GET", self._base_url + name.path, headers={"Range": "bytes=0-0"}
            ) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                _check_status(answer)
                whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
                size = whole if answer.status_code == httpx.codes.PARTIAL_CONTENT else ""
                size = size or answer.headers.get("Content-Length", "")
                return int(size) if size.isdecimal() and len(size) <= _MOST_DIGITS else 0

        async with self._requests:
            return await self._retry(read, lambda: 0)

    async def _read_checksum(self, name: FileName) -> str:
        async def read() -> str:
            answer = await self._client.get(f"{self._base_url}{name.path}.CHECKSUM")
            _check_status(answer)
            return answer.text.partition(" ")[0].strip().lower()

        text = await self._retry(read, lambda: 0)
        if len(text) != _SHA256_CHARS or set(text) - set("0123456789abcdef"):
            raise FileError(f"{self._base_url}{name.path}.CHECKSUM is not a SHA-256: {text[:80]!r}")
        return text

    async def _fetch(self, file: ArchivedFile, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Append what is missing of a file."""
        there = _size(part)
        if file.size and there >= file.size:
            return
        headers = {"Range": f"bytes={there}-"} if there else {}
        url = self._base_url + file.name.path
        async with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            _check_status(answer)
            append = answer.status_code == httpx.codes.PARTIAL_CONTENT
            size = there if append else 0
            with part.open("ab" if append else "wb") as target:
                async for data in answer.aiter_raw():
                    target.write(data)
                    size += len(data)
                    on_bytes(size)

    async def _retry(self, attempt: Callable[[], Awaitable[T]], progress: Callable[[], int]) -> T:
        """Make attempts until one succeeds, or several in a row bring nothing.

        Raises:
            FatalError: the archive can't be reached, or refuses.
        """
        backoff, failures, known = Backoff(first_s=1, cap_s=15), 0, progress()
        while True:
            try:
                return await attempt()
            except (httpx.HTTPError, httpx.StreamError) as error:
                failures = 1 if progress() > known else failures + 1
                known = progress()
                if failures >= _ATTEMPTS:
                    raise FatalError(
                        f"{self._base_url} can't be reached: {network_reason(error)}. The same command"
                        " continues where it stopped; TICKPLANT_BINANCE_ARCHIVE_URL can name another address"
                    ) from error
                await asyncio.sleep(backoff.next_s())


def _check_status(answer: httpx.Response) -> None:
    """Let a success pass.

    Raises:
        HTTPError: a failure that may pass.
        FatalError: a refusal.
    """
    status = answer.status_code
    if answer.is_success:
        return
    if status >= 500 or status in _TEMPORARY:
        raise httpx.HTTPError(f"status {status}")
    raise FatalError(f"{answer.url}: the archive answers with status {status}")


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Make the folder of a cache, unless it is there, for as long as files in it are used.

    Raises:
        FatalError: in place of an OSError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise FatalError(
            f"can't use the folder {folder}: {error.strerror or error}; choose another one with --cache"
        ) from error


@contextmanager
def _alone(part: Path) -> Iterator[Path]:
    """Keep other processes from writing a part, too; it is deleted if it is still empty in the end.

    Raises:
        FatalError: another process is downloading it.
    """
    with part.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FatalError(
                f"another import is downloading {part.stem} into {part.parent}: wait for its end, or choose"
                " another folder with --cache"
            ) from None
        try:
            yield part
        finally:
            if not _size(part):
                part.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
