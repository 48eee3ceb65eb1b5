"""The folder of the embedded servers' data: the one `up` uses, and the one other commands find."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from tickplant.errors import FatalError, SettingsError
from tickplant.settings import Settings, read_settings, variable

DEMO: Final = Path(".demo")
"""Below it are the data of demos, in the working directory."""
_SERVERS: Final = ("redis", "postgres")
_URLS: Final = ("redis_url", "database_url")
_USES: Final = {
    "ingest": ("redis_url",),
    **dict.fromkeys(("migrate", "export", "audit", "backtest", "db"), ("database_url",)),
}
"""The servers of commands that don't use both."""


class Found(Struct, frozen=True):
    """A folder with data of embedded servers."""

    path: Path
    running: bool
    started_s: float
    """When a server was last started on it, in seconds since 1970."""


def data_folder(settings: Settings) -> Path:
    """Return the folder in which `tickplant up` keeps `postgres` and `redis`."""
    return (settings.data or _platform_folder()).absolute()


def folder_in_use(settings: Settings) -> Path:
    """Return the folder that a command is about that names none: the one whose servers run, or ran last.

    A folder that is named counts with those below it; otherwise those of demos, the platform's own and those
    below it do.

    Raises:
        FatalError: servers run on several.
    """
    bases = [settings.data.absolute()] if settings.data else [DEMO.absolute(), data_folder(settings)]
    found = [it for base in bases for it in _find(base)]
    running = [it for it in found if it.running]
    if len(running) > 1:
        paths = ", ".join(str(it.path) for it in running)
        raise FatalError(f"servers run on {paths}: say which is meant with --data")
    if settings.data and any(it.path == bases[0] for it in found) and not running:
        return bases[0]
    return max(running or found, key=lambda it: it.started_s).path if found else data_folder(settings)


def start_command(folder: Path) -> str:
    """Return the command that runs the servers of a folder."""
    if folder.parent.name == DEMO.name:
        return "tickplant up --demo"
    return "tickplant up --replay" if folder.name == "replay" else f"tickplant up --data {folder}"


def refuse_ignored_folder(args: Namespace) -> None:
    """Refuse a folder for embedded servers where none would be used: one of the settings is a mistake.

    `--data` is about the servers that the command uses, TICKPLANT_DATA about both: where one has an address,
    it is the folder of the other.

    Raises:
        SettingsError: the folder would be ignored, or settings are wrong.
    """
    settings = read_settings()
    if settings.data is None or (args.command == "up" and args.replay and args.into is None):
        return
    uses = _USES.get(args.command, _URLS) if args.data else _URLS
    if any(getattr(settings, name) is None for name in uses):
        return
    what = "--data" if args.data else variable("data")
    urls = " and ".join(map(variable, uses))
    raise SettingsError(
        [f"{what}: names a folder for embedded servers, but {urls} would be used instead: leave out one"]
    )


def _platform_folder() -> Path:
    if sys.platform != "darwin" and os.geteuid() == 0:
        return Path("/var/lib/tickplant")  # root's home is closed to the user that PostgreSQL runs as
    base = os.environ.get("XDG_DATA_HOME") or ""
    if sys.platform != "darwin" and Path(base).is_absolute():
        return Path(base) / "tickplant"
    try:
        home = Path.home()
    except RuntimeError as error:  # no HOME, and a user whom the system does not know
        raise FatalError(
            "this user has no home folder to keep data in: name one with --data or TICKPLANT_DATA"
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "tickplant"
    return home / ".local" / "share" / "tickplant"


def _find(base: Path) -> Iterator[Found]:
    """Yield the base and the folders in it that hold data, as far as this user may look."""
    with suppress(OSError):
        for path in (base, *sorted(base.iterdir())):
            with suppress(OSError, FatalError):
                locks = [path / name / "lock" for name in _SERVERS if (path / name / "lock").exists()]
                if locks:
                    started_s = max(lock.stat().st_mtime for lock in locks)
                    yield Found(path, any(_is_running(lock.parent) for lock in locks), started_s)


def _is_running(path: Path) -> bool:
    from tickplant.local.folder import Folder

    return Folder(path).is_locked()
