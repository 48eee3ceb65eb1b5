"""The benchmark's own child processes: they end with it, whatever ends it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, NamedTuple

import msgspec

from tickplant.errors import FatalError
from tickplant.local.child import ProcessGuard, guarded_command

_END_S = 10.0


async def run_module(module: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run a Python module to its end and return its output.

    Raises:
        FatalError: it failed; its last lines are on standard error.
    """
    return await run_program([sys.executable, "-m", module, *arguments], stdin=stdin)


async def run_program(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and return its output; when the caller is cancelled, kill it.

    Raises:
        FatalError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *guarded_command(argv, death_signal=SIGKILL),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=cwd,
        env=environment,
        start_new_session=True,  # Ctrl-C in the terminal is this process's to handle
    )
    guard = ProcessGuard(process.pid, SIGKILL)
    try:
        output, _ = await process.communicate(stdin)
    finally:
        await _kill(process)
        guard.release()
    if process.returncode != 0:
        raise FatalError(f"{' '.join(map(str, argv[:3]))} ended with exit code {process.returncode}")
    return output


class RunningModule(NamedTuple):
    """A child process that is ready."""

    ready: Any
    """The line of JSON that it printed."""
    output: asyncio.StreamReader
    """What it prints afterwards."""


@asynccontextmanager
async def running_module(module: str, *arguments: str) -> AsyncIterator[RunningModule]:
    """Run a Python module beside the block; it prints a line of JSON when it is ready.

    Raises:
        FatalError: it ended before it was ready.
    """
    process = await asyncio.create_subprocess_exec(
        *guarded_command([sys.executable, "-m", module, *arguments], death_signal=SIGKILL),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    guard = ProcessGuard(process.pid, SIGKILL)
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise FatalError(f"{module} did not start; its lines are above")
        yield RunningModule(msgspec.json.decode(line), process.stdout)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGTERM)  # asyncio's own would take the exit code from its watcher
            with suppress(TimeoutError):
                # Not wait_for: up to Python 3.11 it drops a cancellation that arrives as the process ends.
                async with asyncio.timeout(_END_S):
                    await process.wait()
        await _kill(process)
        guard.release()


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)  # with what it has started, such as compilers
        await process.wait()
