"""Runs processes, restarts those that exit, and stops them in order."""

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
_STOP_S: Final = 20.0

ShowLine = Callable[[str, str], None]
"""Shows a line in the terminal; takes the name of its process, and the line."""


class RestartDelay:
    """The delay before a process is restarted: doubled each time, until one has run long enough."""

    FIRST_S: Final = 0.25
    MAX_S: Final = 15.0
    STABLE_S: Final = 30.0
    """A process that ran for this long resets the delay."""

    def __init__(self) -> None:
        self._next_s = self.FIRST_S

    def after(self, ran_s: float) -> float:
        """Return the seconds to wait, given how long the process ran."""
        if ran_s >= self.STABLE_S:
            self._next_s = self.FIRST_S
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self.MAX_S)
        return delay_s


class ManagedProcess(Struct, frozen=True):
    """A process to keep running."""

    name: str
    arguments: tuple[str, ...]
    """Arguments of the command `tickplant`."""
    environment: Mapping[str, str]
    """Variables in addition to this process's own."""


class Restartable(Protocol):
    """A server that is restarted if it exits."""

    async def start(self) -> None:
        """Start it and wait until it answers."""

    async def stop(self) -> None:
        """Stop it gracefully, if it is running."""

    async def wait(self) -> int:
        """Wait until it ends and return the exit code."""


class Supervisor:
    """Keeps servers and processes running; each context starts some and stops them at its end."""

    def __init__(self, show: ShowLine) -> None:
        """Call it inside a running event loop.

        Args:
            show: shows a line in the terminal.
        """
        self._show = show
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(self) -> None:
        """Wait for an error that ends everything, forever if there is none, and raise it."""
        await asyncio.shield(self._failure)

    @asynccontextmanager
    async def server(self, name: str, server: Restartable) -> AsyncIterator[None]:
        """Start a server, restart it whenever it exits, and stop it at the end."""
        try:
            await server.start()
            async with background(self._supervise_server(name, server), on_end=self._on_end):
                yield
        finally:
            await server.stop()

    @asynccontextmanager
    async def processes(self, *managed: ManagedProcess) -> AsyncIterator[None]:
        """Run processes concurrently, restart each one that exits, and stop all of them at the end."""
        processes = [_Process(process, self._show) for process in managed]
        async with AsyncExitStack() as stack:
            for process in processes:
                await stack.enter_async_context(background(process.supervise(), on_end=self._on_end))
            try:
                yield
            finally:
                await asyncio.gather(*(process.stop() for process in processes))

    @asynccontextmanager
    async def announced(self, managed: ManagedProcess) -> AsyncIterator[str]:
        """Run a process that prints a line of JSON when it is ready; yield that line.

        Raises:
            FatalError: it ended before it was ready.
        """
        process = _Process(managed, self._show, announces=True)
        async with background(process.supervise(), on_end=self._on_end):
            try:
                yield await process.announcement()
            finally:
                await process.stop()

    def _on_end(self, supervision: asyncio.Task[None]) -> None:
        error = None if supervision.cancelled() else supervision.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _supervise_server(self, name: str, server: Restartable) -> None:
        delay = RestartDelay()
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            code = await server.wait()
            delay_s = delay.after(clock() - started)
            self._show(name, f"{describe_exit(code)}; restarting it in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            while not await self._restarted(name, server, delay):
                pass

    async def _restarted(self, name: str, server: Restartable, delay: RestartDelay) -> bool:
        """Start a server again; where that fails, as on a full disk, report it, wait, and return False."""
        try:
            await server.start()
        except FatalError as error:
            delay_s = delay.after(0)
            self._show(name, f"{error}; trying again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            return False
        return True


class _Process:
    """A managed process and its restarts."""

    def __init__(self, managed: ManagedProcess, show: ShowLine, *, announces: bool = False) -> None:
        self._managed = managed
        self._show = show
        self._announcement: asyncio.Future[str] | None = None
        if announces:
            self._announcement = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._running: asyncio.subprocess.Process | None = None
        self._ended = asyncio.Event()

    async def announcement(self) -> str:
        """Wait for the line of JSON that it prints when it is ready.

        Raises:
            FatalError: it has ended before.
        """
        assert self._announcement is not None
        async with background(self._ended.wait()) as ended:
            either: list[asyncio.Future[Any]] = [self._announcement, ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._announcement.done():
            raise FatalError(f"{self._managed.name} did not start; see its lines above")
        return self._announcement.result()

    async def supervise(self) -> None:
        """Run it, and restart it whenever it exits, until it is stopped, or has exited before it was ready.

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
                self._show(self._managed.name, f"{describe_exit(code)}; restarting it in {delay_s:g} s")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay_s)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Stop it gracefully, and kill it if it does not stop in time."""
        self._stopping.set()
        self._send(SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), _STOP_S)
        except TimeoutError:
            self._show(self._managed.name, f"did not stop within {_STOP_S:g} s and is being killed")
            self._send(SIGKILL)
            await self._ended.wait()

    def _send(self, signal: Signals) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                self._running.send_signal(signal)

    async def _run(self) -> int:
        argv = [sys.executable, "-P", "-m", "tickplant", *self._managed.arguments]
        process = await asyncio.create_subprocess_exec(
            *guarded_command(argv, death_signal=SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._managed.environment},
            start_new_session=True,  # Ctrl-C in the terminal is the supervisor's to handle, in order
        )
        guard = ProcessGuard(process.pid, SIGKILL)
        self._running = process
        if self._stopping.is_set():  # while the process was being created
            self._send(SIGTERM)
        try:
            assert process.stdout is not None
            async for line in _lines(process.stdout):
                if self._announcement is None or not line.startswith("{") or is_json_line(line):
                    self._show(self._managed.name, line)
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
    """Describe how a process ended, by its exit code."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was terminated by {Signals(-code).name}"
    except ValueError:
        return f"was terminated by signal {-code}"
