"""Client programs that the API is tested with, installed into an environment of their own.

They are many and large, so they are not part of the development environment. `.clients` is made by the first
test that needs it, from `tests/clients/requirements.lock`, if a package index can be reached; otherwise these
tests are skipped, with the reason.
"""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

_HERE: Final = Path(__file__).parent / "clients"
_LOCK: Final = _HERE / "requirements.lock"
ENVIRONMENT: Final = Path(__file__).parent.parent / ".clients"

_TIMEOUT_S: Final = 120
_INSTALL_S: Final = 600


def programs() -> Path:
    """Return the folder of the environment's programs; skip the test if it can't be made."""
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the same test run
        wanted = f"{sys.version} {ENVIRONMENT} {sha256(_LOCK.read_bytes()).hexdigest()}"
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
        installed, failed = ENVIRONMENT / "installed", ENVIRONMENT / f"failed-{run}"
        if not (installed.exists() and installed.read_text() == wanted):
            reason = failed.read_text() if failed.exists() else _install()
            if reason:
                failed.write_text(reason)
                pytest.skip(f"the clients are not installed: {reason}")
            installed.write_text(wanted)
    return ENVIRONMENT / "venv" / "bin"


def _install() -> str:
    """Make the environment; return why that failed."""
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT / "venv")],
        [str(ENVIRONMENT / "venv" / "bin" / "python"), *pip, "--require-hashes", "-r", str(_LOCK)],
    )
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
        except subprocess.TimeoutExpired:
            return f"not installed within {_INSTALL_S} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    return ""


async def run_client(*command: str | Path, folder: Path | None = None) -> str:
    """Run a program of the environment, and return what it printed; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        _, errors = await process.communicate()
        pytest.fail(f"{command} did not end: {errors.decode()[-2000:]}")
    assert process.returncode == 0, errors.decode()[-3000:]
    return output.decode()


async def run_script(name: str, *arguments: str) -> Any:
    """Run a script of `tests/clients`, and return the JSON that it printed."""
    programs_folder = await asyncio.to_thread(programs)
    return json.loads(await run_client(programs_folder / "python", _HERE / name, *arguments))
