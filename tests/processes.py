"""tickplant's own processes, started, stopped, paused and killed by a test."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from forked import Command
from working import until


class Processes:
    """The processes of one test; all are killed at its end."""

    def __init__(self, environment: Mapping[str, str], log_folder: Path) -> None:
        """Take the variables TICKPLANT_*, and where the processes' output goes."""
        self._environment = dict(environment)
        self._log_folder = log_folder
        self._running: list[Command] = []

    async def __aenter__(self) -> "Processes":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """Kill all of them."""
        for process in self._running:
            await kill(process)

    def set(self, **environment: str) -> None:
        """Change the environment of the processes that are started from now on."""
        self._environment |= environment

    async def start(self, *words: str) -> Command:
        """Start `tickplant WORDS`; what it writes goes to files of the log folder."""
        command = Command(
            words,
            environment=self._environment,
            folder=self._log_folder,
            output=self._log_folder / f"{len(self._running)}-{words[0]}.out",
            errors=self._log_folder / f"{len(self._running)}-{words[0]}.log",
        )
        self._running.append(command)
        return command

    async def run(self, *words: str) -> tuple[int, str]:
        """Run `tickplant WORDS` to its end, and return its exit code and what it printed."""
        output = self._log_folder / f"{len(self._running)}-{words[0]}.out"
        command = await self.start(*words)
        code = await asyncio.wait_for(command.wait(), 60)
        return code, output.read_text()

    async def start_sandbox(self, *options: str) -> dict[str, Any]:
        """Start a sandbox venue, point later processes at it, and return its description of itself."""
        output = self._log_folder / f"{len(self._running)}-sandbox.out"
        command = await self.start("sandbox", *options)

        async def is_ready() -> bool:
            assert command.returncode is None, self.logs()
            return output.exists() and output.read_bytes().endswith(b"\n")

        await until(is_ready, "the sandbox is ready")
        ready: dict[str, Any] = json.loads(output.read_text().partition("\n")[0])
        self.use_sandbox(ready)
        return ready

    def use_sandbox(self, ready: Mapping[str, Any]) -> None:
        """Point later processes at a sandbox venue that describes itself so."""
        for venue, addresses in ready["venues"].items():
            urls = {"WS_URL": addresses["ws_url"], "REST_URL": addresses["rest_url"]}
            if venue == "finnhub":
                del urls["REST_URL"]
            self.set(**{f"TICKPLANT_{venue.upper()}_{what}": url for what, url in urls.items()})
        self.set(TICKPLANT_SYMBOLS=" ".join(ready["symbols"]), TICKPLANT_FINNHUB_API_KEY="sandbox")

    def logs(self) -> str:
        """Return what all processes have written; of one that has written very much, the end."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-50_000:]}"
            for path in sorted([*self._log_folder.glob("*.log"), *self._log_folder.glob("*.out")])
        )


async def sandbox_status(rest_url: str) -> dict[str, Any]:
    """Return what a sandbox says of its state."""

    def read() -> dict[str, Any]:
        with urlopen(f"{rest_url}/sandbox/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
            return status

    return await asyncio.to_thread(read)


async def kill(process: Process | Command) -> None:
    """SIGKILL a process, also a paused one, and wait for its end."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.wait()
