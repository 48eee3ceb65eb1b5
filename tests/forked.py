"""Commands of tickplant in processes that are forked, with everything imported, rather than started.

A start of Python with its imports costs half a second of CPU, a fork some milliseconds.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from signal import SIGTERM
from typing import NamedTuple

from tickplant.cli import COMMANDS, main

_LIBRARIES = ("asyncpg", "redis.asyncio", "httpx", "uvicorn", "litestar", "websockets", "dotenv")
_SERVICES = (
    "api.service",
    "ingest.service",
    "workers.service",
    "workers.mirror.service",
    "sandbox.server",
    "db.migrate",
)
_context = get_context("forkserver")
_context.set_forkserver_preload(
    ["__main__", *(f"tickplant.cli.{name}" for name in COMMANDS), *_LIBRARIES, *_SERVICES]
)


class Command:
    """A running `tickplant WORDS`, its standard output and errors in files."""

    def __init__(
        self,
        words: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        errors: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            words: the command line.
            environment: its variables TICKPLANT_*; it gets the others of this process.
            folder: the working directory.
            output: gets the standard output.
            errors: gets the standard error; None: the same file.
        """
        self._process = _context.Process(
            target=_run, args=(words, dict(environment), folder, output, errors), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(SIGTERM)

    def join(self, timeout_s: float) -> int | None:
        """Wait for the end, but not longer than this."""
        self._process.join(timeout_s)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL it, also a paused one, and wait for its end."""
        self._process.kill()
        self._process.join()

    async def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        while (code := self.returncode) is None:
            loop.add_reader(self._process.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._process.sentinel)
        return code


class Ended(NamedTuple):
    """How a command ended."""

    code: int | None
    """None: it had to be killed."""
    output: str


def run(
    *words: str,
    environment: Mapping[str, str],
    folder: Path,
    limit_s: float = 60,
    until: Callable[[str], bool] | None = None,
) -> Ended:
    """Run `tickplant WORDS` to its end.

    Args:
        words: the command line.
        environment: the variables TICKPLANT_*.
        folder: the working directory.
        limit_s: the command is killed if it takes longer.
        until: whether the output so far is a reason to stop the command by SIGTERM.
    """
    output = folder / "output"
    output.unlink(missing_ok=True)
    command = Command(words, environment=environment, folder=folder, output=output)
    waited_s, stopping, step_s = 0.0, False, 0.05 if until else limit_s
    while command.returncode is None and waited_s < limit_s:
        command.join(step_s)
        waited_s += step_s
        if until and not stopping and until(_text(output)):
            command.terminate()
            stopping = True
    code = command.returncode
    command.kill()
    return Ended(code, _text(output))


def run_apart(
    *words: str, environment: Mapping[str, str], folder: Path, limit_s: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run `tickplant WORDS` to its end, its standard output and errors apart.

    Args:
        words: the command line.
        environment: the variables TICKPLANT_*.
        folder: the working directory.
        limit_s: the command is killed if it takes longer.
    """
    files = [folder.parent / f"{folder.name} {name}" for name in ("output", "errors")]
    command = Command(words, environment=environment, folder=folder, output=files[0], errors=files[1])
    code = command.join(limit_s)
    command.kill()
    texts = [_text(file) for file in files]
    assert code is not None, f"{words} took longer than {limit_s:g} s: {texts}"
    return subprocess.CompletedProcess(words, code, *texts)


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _run(
    words: tuple[str, ...], environment: dict[str, str], folder: Path, output: Path, errors: Path | None
) -> None:
    for name in [name for name in os.environ if name.startswith("TICKPLANT_")]:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, flags), 1)
    os.dup2(os.open(errors, flags) if errors else 1, 2)
    sys.exit(main(list(words)))
