"""tickplant's own processes, started, stopped, paused and killed by a test."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen


def obey_interrupts() -> None:
    """Undo what a shell does to those it starts in the background, and they to theirs: ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Processes:
    """The processes of one test; all are killed at its end."""

    def __init__(self, environment: Mapping[str, str], log_folder: Path) -> None:
        """Take what is added to the environment, and where the processes' output goes."""
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("TICKPLANT_")}
        self._environment |= environment
        self._log_folder = log_folder
        self._running: list[Process] = []

    async def __aenter__(self) -> "Processes":
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._running:
            await kill(process)

    def set(self, **environment: str) -> None:
        """Change the environment of the processes that are started from now on."""
        self._environment |= environment

    async def start(self, *command: str, piped: bool = False) -> Process:
        """Start `tickplant COMMAND`; its errors go to a file of the log folder."""
        with (self._log_folder / f"{len(self._running)}-{command[0]}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tickplant",
                *command,
                env=self._environment,
                cwd=self._log_folder,
                stdout=PIPE if piped else log,
                stderr=log,
                preexec_fn=obey_interrupts,
            )
        self._running.append(process)
        return process

    async def start_sandbox(self, *options: str) -> dict[str, Any]:
        """Start a sandbox venue, point later processes at it, and return what it says of itself."""
        process = await self.start("sandbox", *options, piped=True)
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        for venue, addresses in ready["venues"].items():
            urls = {"WS_URL": addresses["ws_url"], "REST_URL": addresses["rest_url"]}
            if venue == "finnhub":
                del urls["REST_URL"]
            self.set(**{f"TICKPLANT_{venue.upper()}_{what}": url for what, url in urls.items()})
        self.set(TICKPLANT_SYMBOLS=" ".join(ready["symbols"]), TICKPLANT_FINNHUB_API_KEY="sandbox")
        return ready

    def logs(self) -> str:
        """Return what all processes have written, for a failure's message."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3_000:]}"
            for path in sorted(self._log_folder.glob("*.log"))
        )


async def sandbox_status(rest_url: str) -> dict[str, Any]:
    """Return what a sandbox says of its state."""

    def read() -> dict[str, Any]:
        with urlopen(f"{rest_url}/sandbox/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
            return status

    return await asyncio.to_thread(read)


async def kill(process: Process) -> None:
    """SIGKILL a process, also a paused one, and wait for its end."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.wait()
