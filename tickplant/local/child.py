"""Processes that end with this one, even when it gets SIGKILL."""

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
    argv: Sequence[str | Path], *, death: Signals, account: ServerAccount | None = None
) -> list[str]:
    """Return a command that becomes `argv`, as the account, and gets a signal when this process ends.

    The kernel sends the signal on Linux; elsewhere `Guard` does it.

    Args:
        argv: the program's full path and its arguments.
        death: the signal.
        account: None keeps the user; otherwise this process must be root.
    """
    uid, gid = account or (-1, -1)
    launcher = [sys.executable, "-I", "-S", str(_HERE / "launch.py")]
    return [*launcher, str(os.getpid()), str(int(death)), str(uid), str(gid), *map(str, argv)]


class ProcessGuard:
    """Sends a signal to a process when this one ends, where the kernel doesn't."""

    def __init__(self, pid: int, death: Signals, *, needed: bool = sys.platform != "linux") -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if needed:
            argv = [sys.executable, "-I", "-S", str(_HERE / "guard.py"), str(pid), str(int(death))]
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603

    def release(self) -> None:
        """Let go: the process has ended by itself."""
        if self._process is not None:
            with suppress(BrokenPipeError):
                self._process.communicate(b"x")
            self._process = None


class Child:
    """A running process, tied to this one's life but to no event loop."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        death: Signals,
        output: int | IO[bytes],
        account: ServerAccount | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            argv: the program's full path and its arguments.
            death: the signal it gets when this process ends.
            output: where its standard output and error go.
            account: the user it runs as; None keeps this process's.
            environment: its variables; None hands on this process's.
            pass_fds: files of this process that it keeps open.
        """
        self._process = subprocess.Popen(  # noqa: S603
            guarded_command(argv, death=death, account=account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=pass_fds,
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal is this process's to handle, in order
        )
        self._guard = ProcessGuard(self._process.pid, death)

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
        """Send a signal, if it still runs."""
        self._process.send_signal(signal)

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - bound to no event loop
            await asyncio.sleep(_POLL_S)
        return code

    async def end(self, *steps: tuple[Signals, float]) -> None:
        """Send each signal and wait its seconds for the end, and SIGKILL after the last."""
        for signal, patience_s in steps:
            self.send(signal)
            try:
                async with asyncio.timeout(patience_s):
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
    """Run a program to its end; when the caller is cancelled, it is killed with all that it has started.

    Args:
        argv: the program's full path and its arguments.
        account: the user it runs as; None keeps this process's.
        environment: its variables.
        lock: a file that it keeps open.
        text: its standard input.

    Raises:
        FatalError: it failed; the message holds its last words.
    """
    process = await asyncio.create_subprocess_exec(
        *guarded_command(argv, death=SIGTERM, account=account),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=[lock],
        cwd="/",
        start_new_session=True,  # Ctrl-C in the terminal is this process's to handle
    )
    try:
        output, _ = await process.communicate(text.encode())
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        await process.wait()
        raise
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-2000:]
        raise FatalError(f"{argv[0]} failed:\n{said}")
