"""Where an archive is: a folder or an object store, through pyarrow's file systems.

Files are written under a temporary name and renamed, in object stores by a copy: pyarrow completes an upload
also after an error, and what had the name before must neither be replaced by a part nor be gone.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from tickplant.errors import FatalError

PART: Final = ".part"
"""The end of temporary names."""
_READ_BYTES: Final = 1 << 20
_GOOGLE: Final = ("gs", "gcs")
_RETRY_S: Final = 30
"""How long requests to Google Cloud Storage are repeated; its client's own limit is 15 minutes."""


class Store:
    """The files of an archive; names are relative to it, with slashes."""

    def __init__(self, url: str) -> None:
        """Open a store; nothing is read yet.

        Args:
            url: a folder's path, or file://, s3:// or gs://.

        Raises:
            FatalError: the address can't be used.
        """
        self.url = url
        with self._explained():
            self._fs, self._root = _open(url)
        self._local = isinstance(self._fs, fs.LocalFileSystem)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        with self._explained(name):
            if self._fs.get_file_info(self._path(name)).type != fs.FileType.File:
                return None
            with self._fs.open_input_stream(self._path(name)) as file:
                content: bytes = file.read()
                return content

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading at any position."""
        with self._explained(name):
            return self._fs.open_input_file(self._path(name))

    def size(self, name: str) -> int | None:
        """Return the length of a file in bytes; None if there is none."""
        with self._explained(name):
            info = self._fs.get_file_info(self._path(name))
            return info.size if info.type == fs.FileType.File else None

    def hash(self, name: str) -> str:
        """Return the SHA-256 of a file, read in pieces, hexadecimal."""
        digest = hashlib.sha256()
        with self._explained(name), self._fs.open_input_stream(self._path(name)) as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole, or replace it."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator["HashedFile"]:
        """Write a file that gets its name at the end, unless an error ends it."""
        path = self._path(name)
        written = path + PART
        with self._explained(name):
            self._make_folder(path)
            stream = self._fs.open_output_stream(written)
        try:
            file = HashedFile(stream)
            yield file
            with self._explained(name):
                stream.close()
                if self._local:
                    _sync(written)
                self._fs.move(written, path)
                if self._local:
                    _sync(path.rpartition("/")[0])
        except BaseException:
            self._discard(stream, written)
            raise

    def move(self, name: str, to: str) -> None:
        """Move a file, over one that may be there."""
        with self._explained(name):
            self._make_folder(self._path(to))
            self._fs.move(self._path(name), self._path(to))

    def delete(self, name: str) -> None:
        """Delete a file."""
        with self._explained(name):
            self._fs.delete_file(self._path(name))

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all files in a folder and those below, ascending."""
        with self._explained(folder):
            selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
            found = self._fs.get_file_info(selector)
        return sorted(
            info.path.removeprefix(self._root).lstrip("/") for info in found if info.type == fs.FileType.File
        )

    def require_place(self) -> None:
        """Check that a new archive can be made here.

        Raises:
            FatalError: the folder above doesn't exist: a disk may not be mounted.
        """
        root = Path(self._root)
        if self._local and not root.is_dir() and not root.parent.is_dir():
            raise FatalError(f"archive {self.url}: there is no folder {root.parent}; is its disk mounted?")

    def prepare(self) -> None:
        """Make the folder of a new archive.

        Raises:
            FatalError: it can't be made.
        """
        self.require_place()
        if self._local:
            with self._explained():
                self._fs.create_dir(self._root)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _make_folder(self, path: str) -> None:
        if self._local:  # object stores have none
            self._fs.create_dir(path.rpartition("/")[0], recursive=True)

    def _discard(self, stream: pa.NativeFile, path: str) -> None:
        """Remove what was written of a file; what can't be removed is deleted by a later run."""
        with suppress(OSError, pa.ArrowException):
            stream.close()
        with suppress(OSError, pa.ArrowException):
            self._fs.delete_file(path)

    @contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        where = f"archive {self.url}{': ' + name if name else ''}"
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            number: int | None = getattr(error, "errno", None)
            reason = os.strerror(number) if number else str(error).strip()
            raise FatalError(f"{where}: {reason}") from error


class HashedFile(io.RawIOBase):
    """A file being written, with the hash and length of what was."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.bytes = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Write bytes at the end."""
        self._stream.write(content)
        self._digest.update(content)
        self.bytes += memoryview(content).nbytes
        return memoryview(content).nbytes

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    @property
    def sha256(self) -> str:
        """The hash of what has been written, hexadecimal."""
        return self._digest.hexdigest()


def _open(url: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address, and the path in it, without a slash at the end."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if not scheme:
        return fs.LocalFileSystem(), str(Path(url).expanduser().absolute())
    if scheme == "s3" and "?" not in url and "@" not in url:
        path = url.removeprefix("s3://")
        return fs.S3FileSystem(**_s3_options(os.environ)), path.strip("/")
    if scheme in _GOOGLE and "retry_limit_seconds=" not in url:
        url += f"{'&' if '?' in url else '?'}retry_limit_seconds={_RETRY_S}"
    found, path = fs.FileSystem.from_uri(url)
    return found, path.rstrip("/")


def _s3_options(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the usual variables of AWS say; pyarrow reads the credentials itself."""
    options: dict[str, Any] = {}
    if region := environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"):
        options["region"] = region
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        parts = urlsplit(endpoint)
        options |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
        options.setdefault("region", "us-east-1")
    return options


def _sync(path: str) -> None:
    """Make sure that a file or the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
