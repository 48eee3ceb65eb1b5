"""The folder of one embedded server: its lock, port and password."""

import asyncio
import errno
import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tickplant.errors import FatalError

LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 30_000)
"""Below the ephemeral ports of operating systems: a client that repeatedly connects to a stopped server on
loopback could otherwise be assigned the server's own port, and connect to itself."""
_LEFTOVER_S: Final = 15.0
_FREE_BYTES: Final = 128 << 20
_REMEDIES: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "mount it writable",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files",
}
"""By the error's number; otherwise it is taken for one of permissions."""


class Folder:
    """A server's folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def create(self) -> None:
        """Create the folder.

        Raises:
            FatalError: it can't be created, or the disk is almost full.
        """
        with explained_file_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(self.path).free
            with (self.path / "port").open("a"):
                pass
        if free_bytes < _FREE_BYTES:
            raise FatalError(
                f"only {free_bytes >> 20} MB are free in {self.path}: free some space,"
                " or choose another folder with --data or TICKPLANT_DATA"
            )

    async def lock(self) -> int:
        """Return the folder's lock, a file descriptor that the server's processes inherit.

        It stays locked until the last process that has it open ends, so that this waits for the remaining
        processes of a killed server.

        Raises:
            FatalError: another process uses the folder.
        """
        with explained_file_errors(self.path):
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await self._acquire(lock)
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock

    async def _acquire(self, lock: int) -> None:
        deadline = asyncio.get_running_loop().time() + _LEFTOVER_S
        while not _try_lock(lock):
            holder = int(os.pread(lock, 20, 0) or b"0")
            abandoned = holder in (0, os.getpid()) or not _is_alive(holder)
            if not abandoned or asyncio.get_running_loop().time() > deadline:
                raise FatalError(
                    f"{self.path} is in use by process {holder}: stop that process,"
                    " or choose another folder with --data or TICKPLANT_DATA"
                )
            await asyncio.sleep(0.02)

    def is_locked(self) -> bool:
        """Return whether a server runs on the folder.

        Raises:
            FatalError: this user can't read the folder.
        """
        with explained_file_errors(self.path):
            try:
                lock = os.open(self.path / "lock", os.O_RDWR)
            except FileNotFoundError:
                return False
        try:
            return not _try_lock(lock)
        finally:
            os.close(lock)

    def read_port(self) -> int | None:
        """Return the port of the last start, if there was one."""
        path = self.path / "port"
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text) if text.isdecimal() else None

    def choose_port(self) -> int:
        """Return the last start's port if it is free, or else another one, and store it."""
        last = self.read_port()
        port = last if last and is_free(last) else free_port()
        with explained_file_errors(self.path):
            (self.path / "port").write_text(str(port), encoding="ascii")
        return port

    def forget_port(self) -> None:
        """Forget the port of the last start: the next one chooses another."""
        with explained_file_errors(self.path):
            (self.path / "port").write_text("", encoding="ascii")

    def password(self) -> str:
        """Return the server's password, generated at the first call and readable only by this user."""
        path = self.path / "password"
        with explained_file_errors(self.path):
            if not path.exists():
                write_private(path, secrets.token_urlsafe(24))
            return path.read_text(encoding="ascii")


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


@contextmanager
def explained_file_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into messages that say how to fix them.

    Raises:
        FatalError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "correct its permissions")
        raise FatalError(
            f"can't use {error.filename or path}: {error.strerror}; {remedy},"
            " or choose another folder with --data or TICKPLANT_DATA"
        ) from error


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return whether a server could listen on the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port on loopback.

    Raises:
        FatalError: there is none.
    """
    for _ in range(1000):
        port = secrets.choice(_PORTS)
        if is_free(port):
            return port
    raise FatalError(f"no free port on {LOOPBACK} between {_PORTS.start} and {_PORTS.stop - 1}")
