"""A plant of processes that plays a recording while somebody watches, and a Prometheus beside it."""

import asyncio
import contextlib
import json
import math
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import stored
import yaml
from api_plant import Socket
from conftest import PARTITIONS, REPOSITORY
from processes import Processes, kill, sandbox_status
from servers import free_ports
from websockets.asyncio.client import connect
from working import until

from tickplant.local.folder import free_port

LOSSES: Final = ("--faults", "7", "--fault", "lost=0.002", "malformed=0.0005")
"""What goes wrong on the way, so that there are gaps, late trades and malformed frames to be seen."""
CHANNELS: Final = ("price:BTCUSDT", "trades:BTCUSDT", "candles:BTCUSDT:1m", "gaps:BTCUSDT")
PATHS: Final = ("symbols", "price/BTCUSDT", "ohlcv/BTCUSDT", "trades/BTCUSDT", "price/NONE")
SCRAPE_S: Final = 0.25

_RULES: Final = REPOSITORY / "prometheus"


class Plant:
    """The processes of a plant."""

    def __init__(self, processes: Processes, database_url: str) -> None:
        self._processes = processes
        self._database_url = database_url
        self._sandbox_url = ""
        self.ports = dict(zip(("api", "worker", "sandbox", "ingest"), free_ports(4), strict=True))
        """Where each service has its metrics."""

    async def start(self, recording: Path, *, speed: float) -> None:
        """Start everything but ingest, for which the sandbox waits with the first trade."""
        self._processes.set(TICKPLANT_API_PORT=str(self.ports["api"]))
        await self._processes.start("api")
        await self._start("worker")
        self._processes.set(TICKPLANT_METRICS_PORT=str(self.ports["sandbox"]))
        ready = await self._processes.start_sandbox(
            "--capture", str(recording), "--speed", str(speed), "--hold", *LOSSES
        )
        self._sandbox_url = ready["rest_url"]
        await until(self._serves, "the API is ready")

    async def play(self) -> None:
        """Play the recording to its end; return when all that was lost on the way has come from history."""
        address = f"127.0.0.1:{self.ports['api']}"
        async with connect(f"ws://{address}/ws", max_size=None) as connection:
            socket = Socket(connection)
            await socket.ask(op="subscribe", id=1, channels=CHANNELS)
            await self._start("ingest")
            tasks = [
                asyncio.create_task(_read(socket)),
                asyncio.create_task(_ask(f"http://{address}/api/v1")),
            ]
            await until(self._ended, "the recording has been played", timeout_s=90)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def metrics(self, service: str) -> bytes:
        """Return what a service exposes."""
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{self.ports[service]}/metrics")).content

    async def _start(self, service: str) -> None:
        self._processes.set(TICKPLANT_METRICS_PORT=str(self.ports[service]))
        await self._processes.start(service)

    async def _serves(self) -> bool:
        async with httpx.AsyncClient() as http:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get(f"http://127.0.0.1:{self.ports['api']}/health/ready")).is_success
        return False

    async def _ended(self) -> bool:
        if (await sandbox_status(self._sandbox_url))["state"] != "finished":
            return False
        query = "select (select bool_and(isempty(missing)) from ledger) and exists (select from gaps)"
        return bool(await stored.fetch_value(self._database_url, query))


@asynccontextmanager
async def plant_of(redis_url: str, database_url: str, folder: Path) -> AsyncIterator[Plant]:
    """Yield a plant that has not been started yet."""
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    async with Processes(environment, folder) as processes:
        try:
            yield Plant(processes, database_url)
        except AssertionError as error:
            error.add_note(processes.logs())
            raise


class Prometheus:
    """A Prometheus with the repository's own configuration, but for where and how often it scrapes."""

    def __init__(self, binary: str, ports: dict[str, int], folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._url = f"127.0.0.1:{free_port()}"
        self._began = datetime.now(UTC)
        configuration = yaml.safe_load((_RULES / "prometheus.yml").read_text(encoding="utf-8"))
        often = f"{SCRAPE_S * 1000:.0f}ms"
        configuration["global"] = dict.fromkeys(
            ("scrape_interval", "scrape_timeout", "evaluation_interval"), often
        )
        configuration["rule_files"] = [str(_RULES / name) for name in configuration["rule_files"]]
        jobs = [job["job_name"] for job in configuration["scrape_configs"]]
        configuration["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{ports[job]}"]}]}
            for job in jobs
            if job in ports
        ]
        (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")

    async def __aenter__(self) -> "Prometheus":
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._binary,
                f"--config.file={self._folder}/prometheus.yml",
                f"--storage.tsdb.path={self._folder}/prometheus",
                f"--web.listen-address={self._url}",
                stdout=DEVNULL,
                stderr=log,
            )
        self._http = httpx.AsyncClient(base_url=f"http://{self._url}/api/v1", timeout=30)
        await until(self._ready, "Prometheus is ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await kill(self._process)

    async def is_filled(self, query: str) -> bool:
        """Say whether a query has given a number at any time since the start.

        Raises:
            AssertionError: it is no PromQL.
        """
        step = {"start": self._began.timestamp(), "end": datetime.now(UTC).timestamp(), "step": SCRAPE_S}
        answer = await self._http.get("/query_range", params={"query": query, **step})
        assert answer.is_success, f"{query}: {answer.text}"
        series: list[dict[str, Any]] = answer.json()["data"]["result"]
        return any(math.isfinite(float(value)) for one in series for _, value in one["values"])

    async def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await self._http.get(f"http://{self._url}/-/ready")).is_success
        return False


async def _read(socket: Socket) -> None:
    while True:
        await socket.connection.recv()


async def _ask(address: str) -> None:
    async with httpx.AsyncClient() as http:
        while True:
            for path in PATHS:
                await http.get(f"{address}/{path}")
            await asyncio.sleep(SCRAPE_S)
