"""The base class of embedded servers: start, stop, kill and restart with the same port and data."""

import asyncio
import os
from abc import ABC, abstractmethod
from pathlib import Path
from signal import Signals
from typing import ClassVar, Final

from tickplant.errors import FatalError
from tickplant.local.child import Child, ServerAccount
from tickplant.local.folder import Folder, explained_file_errors, is_free

_START_S: Final = 300.0
"""Recovery after a crash may read gigabytes. A server that fails exits, which ends the wait."""
_PORTS_TRIED: Final = 3
_LOG_BYTES: Final = 8 << 20


class Server(ABC):
    """A server process on a data folder."""

    name: ClassVar[str]
    stop_signal: ClassVar[Signals]
    """The signal that stops it gracefully without waiting for clients."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self._child: Child | None = None
        self._port: int | None = None
        self._stopping = False

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address with its password; known once it has been started."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Its program, version and extensions, for people."""

    @abstractmethod
    async def _prepare(self, lock: int) -> tuple[list[str | Path], ServerAccount | None]:
        """Create what is missing in the folder; return the command and the account to run it as.

        Args:
            lock: the folder's lock, kept open by all processes that write to the folder.
        """

    @abstractmethod
    async def _is_ready(self) -> bool:
        """Return whether it answers."""

    @abstractmethod
    def _hint(self, log: str) -> str:
        """Return how to fix a failed start, given the end of its log; empty if unknown."""

    @property
    def port(self) -> int:
        """The port on loopback.

        Raises:
            FatalError: it was never started.
        """
        port = self._port or self.folder.read_port()
        if port is None:
            raise FatalError(f"{self.name} on {self.folder.path} was never started")
        return port

    @property
    def pid(self) -> int | None:
        """The process id; None while it isn't running."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.folder.path / "log"

    async def start(self) -> None:
        """Start it and wait until it answers; always on the port of the first start.

        Raises:
            FatalError: it can't be started; the message says how to fix it.
        """
        if self.pid is not None:
            raise FatalError(f"{self.name} on {self.folder.path} is already running")
        self.folder.create()
        has_port = self.folder.read_port() is not None
        for others in reversed(range(_PORTS_TRIED)):
            try:
                await self._start()
            except FatalError:
                if not others or has_port or self._port is None or is_free(self._port):
                    raise
                # Another program has taken the port, which was free, before the server listened.
                self._port = None
                self.folder.forget_port()
            else:
                return

    async def _start(self) -> None:
        lock = await self.folder.lock()
        try:
            self._port = self._port or self.folder.choose_port()
            argv, account = await self._prepare(lock)
            self._stopping = False
            self._spawn(argv, account, lock)
        finally:
            os.close(lock)
        try:
            await self._wait_ready()
        except BaseException:
            await self.kill()
            raise

    def _spawn(self, argv: list[str | Path], account: ServerAccount | None, lock: int) -> None:
        with explained_file_errors(self.log):
            if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
                self.log.replace(self.log.with_name("log.1"))
            with self.log.open("ab") as output:
                self._log_offset = output.tell()
                self._child = Child(
                    argv,
                    death_signal=self.stop_signal,
                    output=output,
                    account=account,
                    environment=environment(),
                    pass_fds=[lock],
                )

    async def _wait_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START_S
        while not await self._is_ready():
            if self.pid is None or asyncio.get_running_loop().time() > deadline:
                raise FatalError(self._failure())
            await asyncio.sleep(0.01)

    def _failure(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_offset)
            lines = file.read()[-4000:].decode(errors="replace").strip().splitlines()
        shown = "\n  ".join(lines[-8:])
        hint = self._hint("\n".join(lines))
        return f"{self.name} did not start{': ' + hint if hint else ''}; the end of {self.log}:\n  {shown}"

    async def stop(self) -> None:
        """Stop it gracefully, if it is running; acknowledged writes are on disk."""
        self._stopping = True
        if self._child is not None:
            await self._child.end((self.stop_signal, 60.0))

    async def kill(self) -> None:
        """Kill it with SIGKILL and wait until it has ended."""
        self._stopping = True
        if self._child is not None:
            await self._child.end()

    async def restart(self) -> None:
        """Stop and start it on the same port with the same data."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code.

        Raises:
            FatalError: it was never started.
        """
        if self._child is None:
            raise FatalError(f"{self.name} on {self.folder.path} was never started")
        return await self._child.wait()


def environment() -> dict[str, str]:
    """Return the environment of a server: without variables that would change its settings or language."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))
    }
    return {**variables, "LC_ALL": "C", "TZ": "UTC"}
