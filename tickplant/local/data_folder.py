"""Finds the folder of the embedded servers' data, for `tickplant up` and for the other commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from tickplant.errors import FatalError
from tickplant.settings import Settings

DEMO: Final = Path(".demo")
"""The folder in the working directory that contains the data of demos."""
_SERVERS: Final = ("redis", "postgres")


class FoundFolder(Struct, frozen=True):
    """A folder with data of embedded servers."""

    path: Path
    running: bool
    used_s: float
    """When `tickplant up` last started or ended on it, in seconds since 1970."""


def data_folder(settings: Settings) -> Path:
    """Return the folder in which `tickplant up` keeps `postgres` and `redis`."""
    return (settings.data or _platform_folder()).absolute()


def folder_in_use(settings: Settings) -> Path:
    """Return the data folder that a command uses: the one whose servers run, or else the one used last.

    Candidates are the folder of the settings and its subfolders, if there is one in the settings; otherwise
    the folders of demos, and the platform's default folder with its subfolders.

    Raises:
        FatalError: servers run on several of them.
    """
    bases = [settings.data.absolute()] if settings.data else [DEMO.absolute(), data_folder(settings)]
    found = [folder for base in bases for folder in _find(base)]
    running = [folder for folder in found if folder.running]
    if len(running) > 1:
        paths = ", ".join(str(folder.path) for folder in running)
        raise FatalError(f"servers are running on {paths}: choose one with --data")
    if settings.data and any(folder.path == bases[0] for folder in found) and not running:
        return bases[0]
    return max(running or found, key=lambda folder: folder.used_s).path if found else data_folder(settings)


@contextmanager
def used(folder: Path) -> Iterator[None]:
    """Note at the end that `up` ran last on this folder: until then its locks tell when it started."""
    try:
        yield
    finally:
        for name in _SERVERS:
            with suppress(OSError):
                os.utime(folder / name / "lock")


@contextmanager
def briefly_used(server: Path) -> Iterator[None]:
    """Restore the time of a server's lock at the end: a command's own start doesn't make it the last one.

    Args:
        server: the server's folder.
    """
    lock = server / "lock"
    before = lock.stat() if lock.exists() else None
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.utime(lock, ns=(before.st_atime_ns, before.st_mtime_ns))


def start_command(folder: Path) -> str:
    """Return the command that runs the servers of a folder."""
    if folder.parent.name == DEMO.name:
        return "tickplant up --demo"
    return "tickplant up --replay" if folder.name == "replay" else f"tickplant up --data {folder}"


def _platform_folder() -> Path:
    if sys.platform != "darwin" and os.geteuid() == 0:
        return Path("/var/lib/tickplant")  # root's home is closed to the user that PostgreSQL runs as
    base = os.environ.get("XDG_DATA_HOME") or ""
    if sys.platform != "darwin" and Path(base).is_absolute():
        return Path(base) / "tickplant"
    try:
        home = Path.home()
    except RuntimeError as error:  # no HOME, and a user unknown to the system
        raise FatalError(
            "this user has no home folder for the data: choose a folder with --data or TICKPLANT_DATA"
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "tickplant"
    return home / ".local" / "share" / "tickplant"


def _find(base: Path) -> Iterator[FoundFolder]:
    """Yield the base and its subfolders that contain data and that this user can read."""
    with suppress(OSError):
        for path in (base, *sorted(base.iterdir())):
            with suppress(OSError, FatalError):
                locks = [path / name / "lock" for name in _SERVERS if (path / name / "lock").exists()]
                if locks:
                    used_s = max(lock.stat().st_mtime for lock in locks)
                    yield FoundFolder(path, any(_is_running(lock.parent) for lock in locks), used_s)


def _is_running(path: Path) -> bool:
    from tickplant.local.folder import Folder

    return Folder(path).is_locked()
