"""Run processes, start again those that die, and stop them in order."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Final, Protocol

from msgspec import Struct

from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.local.child import ProcessGuard, guarded_command
from tickplant.logs import is_json_line

SETTINGS_EXIT: Final = 2
"""The exit code of a command whose settings are wrong: a restart would not help."""
_PATIENCE_S: Final = 20.0

ShowLine = Callable[[str, str], None]
"""Shows the person at the terminal a line: of whom, and the line."""


class RestartDelay:
    """How long to wait before starting a process again: twice as long each time, until one has run well."""

    FIRST_S: Final = 0.25
    MOST_S: Final = 15.0
    WELL_S: Final = 30.0
    """A process that ran for so long had started well."""

    def __init__(self) -> None:
        self._next_s = self.FIRST_S

    def after(self, ran_s: float) -> float:
        """Return the seconds to wait, given how long the process ran."""
        if ran_s >= self.WELL_S:
            self._next_s = self.FIRST_S
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self.MOST_S)
        return delay_s


class ManagedProcess(Struct, frozen=True):
    """A process to keep running."""

    name: str
    arguments: tuple[str, ...]
    """Of the command `tickplant`."""
    environment: Mapping[str, str]
    """Variables besides this process's own."""


class Restartable(Protocol):
    """A server that was started and may die."""

    async def start(self) -> None:
        """Start it and wait until it answers."""

    async def stop(self) -> None:
        """Stop it gracefully, if it runs."""

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""


class Supervisor:
    """Keeps servers and processes running, inside contexts whose order is the order of starting and stopping.

    Attributes:
        failed: raises the error that should end everything, if there is one; waits for it otherwise.
    """

    def __init__(self, say: ShowLine) -> None:
        """Name the terminal; call it inside a running event loop.

        Args:
            say: shows a line.
        """
        self._say = say
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(self) -> None:
        """Wait for the error that should end everything, for ever if need be, and raise it."""
        await asyncio.shield(self._failure)

    @asynccontextmanager
    async def server(self, name: str, server: Restartable) -> AsyncIterator[None]:
        """Start a server, start it again whenever it dies, and stop it at the end."""
        try:
            await server.start()
            async with background(self._keep_server(name, server), on_end=self._on_end):
                yield
        finally:
            await server.stop()

    @asynccontextmanager
    async def processes(self, *managed: ManagedProcess) -> AsyncIterator[None]:
        """Run processes side by side, restart each one that dies, and stop all of them at the end."""
        processes = [_Process(each, self._say) for each in managed]
        async with AsyncExitStack() as stack:
            for process in processes:
                await stack.enter_async_context(background(process.keep(), on_end=self._on_end))
            try:
                yield
            finally:
                await asyncio.gather(*(process.stop() for process in processes))

    @asynccontextmanager
    async def announced(self, managed: ManagedProcess) -> AsyncIterator[str]:
        """Run a process that prints a line of JSON when it is ready, and yield that line.

        Raises:
            FatalError: it ended before it was ready.
        """
        process = _Process(managed, self._say, announces=True)
        async with background(process.keep(), on_end=self._on_end):
            try:
                yield await process.announcement()
            finally:
                await process.stop()

    def _on_end(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _keep_server(self, name: str, server: Restartable) -> None:
        delay = RestartDelay()
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            code = await server.wait()
            delay_s = delay.after(clock() - started)
            self._say(name, f"{describe_exit(code)}; starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            await server.start()


class _Process:
    """A managed process: the running one, and its successors."""

    def __init__(self, managed: ManagedProcess, say: ShowLine, *, announces: bool = False) -> None:
        self._managed = managed
        self._say = say
        self._announcement: asyncio.Future[str] | None = None
        if announces:
            self._announcement = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._running: asyncio.subprocess.Process | None = None
        self._ended = asyncio.Event()

    async def announcement(self) -> str:
        """Wait for the line that says that it is ready.

        Raises:
            FatalError: it has ended without.
        """
        assert self._announcement is not None
        async with background(self._ended.wait()) as ended:
            either: list[asyncio.Future[Any]] = [self._announcement, ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._announcement.done():
            raise FatalError(f"{self._managed.name} did not start; see its lines above")
        return self._announcement.result()

    async def keep(self) -> None:
        """Run it until it is stopped, or has ended without the announcement.

        Raises:
            FatalError: its settings are wrong.
        """
        delay = RestartDelay()
        clock = asyncio.get_running_loop().time
        try:
            while not self._stopping.is_set():
                started = clock()
                code = await self._run()
                if self._stopping.is_set() or (self._announcement and not self._announcement.done()):
                    return
                if code == SETTINGS_EXIT:
                    raise FatalError(
                        f"{self._managed.name} can't run with these settings; see its lines above"
                    )
                delay_s = delay.after(clock() - started)
                self._say(self._managed.name, f"{describe_exit(code)}; starting it again in {delay_s:g} s")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay_s)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        self._stopping.set()
        self._send(SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), _PATIENCE_S)
        except TimeoutError:
            self._say(self._managed.name, f"has not stopped within {_PATIENCE_S:g} s and is killed")
            self._send(SIGKILL)
            await self._ended.wait()

    def _send(self, signal: Signals) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                self._running.send_signal(signal)

    async def _run(self) -> int:
        argv = [sys.executable, "-P", "-m", "tickplant", *self._managed.arguments]
        process = await asyncio.create_subprocess_exec(
            *guarded_command(argv, death=SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._managed.environment},
            start_new_session=True,  # Ctrl-C in the terminal is the supervisor's to handle, in order
        )
        guard = ProcessGuard(process.pid, SIGKILL)
        self._running = process
        if self._stopping.is_set():  # meanwhile
            self._send(SIGTERM)
        try:
            assert process.stdout is not None
            async for line in _lines(process.stdout):
                if self._announcement is None or not line.startswith("{") or is_json_line(line):
                    self._say(self._managed.name, line)
                elif not self._announcement.done():
                    self._announcement.set_result(line)
            return await process.wait()
        finally:
            guard.release()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield the lines of a stream, however long."""
    rest = b""
    while block := await stream.read(1 << 16):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def describe_exit(code: int) -> str:
    """Say how a process ended, by its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
