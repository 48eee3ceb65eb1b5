"""Child processes that end with this one, even if it is killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import IO, Final, NamedTuple

from tickplant.errors import FatalError

_HERE: Final = Path(__file__).parent
_POLL_S: Final = 0.01


class ServerAccount(NamedTuple):
    """A user of this machine."""

    uid: int
    gid: int


def guarded_command(
    argv: Sequence[str | Path], *, death_signal: Signals, account: ServerAccount | None = None
) -> list[str]:
    """Return a command that becomes `argv`, as an account, and gets a signal when this process ends.

    On Linux the kernel sends the signal; elsewhere `ProcessGuard` does.

    Args:
        argv: the program's full path and its arguments.
        death_signal: sent when this process ends.
        account: None keeps the user; otherwise this process must be root.
    """
    uid, gid = account or (-1, -1)
    launcher = [sys.executable, "-I", "-S", str(_HERE / "launch.py")]
    return [*launcher, str(os.getpid()), str(int(death_signal)), str(uid), str(gid), *map(str, argv)]


class ProcessGuard:
    """Sends a signal to a process when this one ends, where the kernel doesn't."""

    def __init__(self, pid: int, death_signal: Signals, *, needed: bool = sys.platform != "linux") -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if needed:
            argv = [sys.executable, "-I", "-S", str(_HERE / "guard.py"), str(pid), str(int(death_signal))]
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603

    def release(self) -> None:
        """Stop guarding: the process has ended by itself."""
        if self._process is not None:
            with suppress(BrokenPipeError):
                self._process.communicate(b"x")
            self._process = None


class Child:
    """A process that ends with this one, independent of event loops."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        death_signal: Signals,
        output: int | IO[bytes],
        account: ServerAccount | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            argv: the program's full path and its arguments.
            death_signal: sent to it when this process ends.
            output: where its standard output and error go.
            account: the user it runs as; None keeps this process's.
            environment: its variables; None passes this process's on.
            pass_fds: file descriptors of this process that it keeps open.
        """
        self._process = subprocess.Popen(  # noqa: S603
            guarded_command(argv, death_signal=death_signal, account=account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=pass_fds,
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal is this process's to handle, in order
        )
        self._guard = ProcessGuard(self._process.pid, death_signal)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; minus the signal's number if one ended it; None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._guard.release()
        return code

    def send(self, signal: Signals) -> None:
        """Send a signal if it still runs."""
        self._process.send_signal(signal)

    async def wait(self) -> int:
        """Wait until it ends and return the exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - bound to no event loop
            await asyncio.sleep(_POLL_S)
        return code

    async def end(self, *steps: tuple[Signals, float]) -> None:
        """Send each signal and wait up to its number of seconds for the end; send SIGKILL after the last."""
        for signal, timeout_s in steps:
            self.send(signal)
            try:
                async with asyncio.timeout(timeout_s):
                    await self.wait()
                    return
            except TimeoutError:
                continue
        self.send(SIGKILL)
        await self.wait()


async def run_to_end(
    argv: Sequence[str | Path],
    *,
    account: ServerAccount | None,
    environment: Mapping[str, str],
    lock: int,
    text: str = "",
) -> None:
    """Run a program to its end; if the caller is cancelled, kill it and its child processes.

    Args:
        argv: the program's full path and its arguments.
        account: the user it runs as; None keeps this process's.
        environment: its variables.
        lock: a file descriptor that it keeps open.
        text: its standard input.

    Raises:
        FatalError: it failed; the message contains the end of its output.
    """
    creating = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *guarded_command(argv, death_signal=SIGTERM, account=account),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[lock],
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal is this process's to handle
        )
    )
    try:
        process = await asyncio.shield(creating)  # otherwise a process that has begun already would be lost
        output, _ = await process.communicate(text.encode())
    except BaseException:
        process = await creating
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        await process.wait()
        raise
    if process.returncode != 0:
        shown = output.decode(errors="replace").strip()[-2000:]
        raise FatalError(f"{argv[0]} failed:\n{shown}")
