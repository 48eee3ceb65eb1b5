"""The plant as compose runs it, replayed, killed, taken down and up again: nothing changes in the result.

It needs a Docker engine, compose and the images of the services below. Where one is not here, the tests are
skipped, and name what is missing.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import offline
import pytest
import stored
from containers import REPOSITORY, docker, image_of, why_not
from working import until

from db.pool import OUTAGE

Candles = dict[tuple[str, str, int], tuple[Any, ...]]

PROJECT: Final = "tickplant-test"
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
SERVERS: Final = ("redis", "timescaledb", "proxy", "prometheus")
KILLED: Final = ("ingest", "worker", "api", "redis", "timescaledb", "sandbox", "proxy")
KILLS: Final = 14
SEED: Final = int(os.environ.get("TICKPLANT_TEST_SEED", "20241108"))
BUILDS_FROM: Final = "python:3.13.14-slim-trixie"
TOOLS: Final = ("gcc", "g++", "cc", "clang", "ld", "make", "cargo", "rustc", "go")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What compose is run with: ports that nobody has, and nothing of this shell's settings."""
    missing = why_not(*map(image_of, SERVERS), BUILDS_FROM)
    if missing is None and docker("compose", "version").returncode != 0:
        missing = "docker has no compose"
    if missing:
        pytest.skip(f"compose can't be run here: {missing}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKPLANT_")}
    symbols = " ".join(f"binance:{symbol}" for symbol in SYMBOLS)
    return kept | {"TICKPLANT_API_PORT": "0", "PROMETHEUS_PORT": "0", "TICKPLANT_SYMBOLS": symbols}


class Compose:
    """One project of compose's, for the tests alone."""

    def __init__(self, environment: dict[str, str], *files: Path) -> None:
        self._environment = environment
        names = [word for file in (REPOSITORY / "compose.yaml", *files) for word in ("-f", str(file))]
        self._command = ["compose", "-p", PROJECT, *names, "--profile", "demo"]

    def run(self, *words: str) -> str:
        done = docker(*self._command, *words, environment=self._environment)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        return docker(*self._command, "logs", "--tail", "20", environment=self._environment).stdout

    def up(self, *words: str) -> None:
        services = ("sandbox", "ingest", "worker", "proxy", "prometheus")
        self.run("up", "--detach", "--wait", *words, *services)

    def containers(self, service: str) -> list[str]:
        return self.run("ps", "--all", "--quiet", service).split()

    def address(self, service: str, port: int) -> str:
        return self.run("port", service, str(port)).strip()

    def get(self, service: str, port: int, path: str) -> Any:
        with urlopen(f"http://{self.address(service, port)}{path}", timeout=5) as answer:
            return answer.read()

    def database(self) -> str:
        password = self.run("exec", "-T", "timescaledb", "cat", "/run/owner/password").strip()
        return f"postgresql://tickplant:{password}@{self.address('timescaledb', 5432)}/demo"


@pytest.fixture
def compose(environment: dict[str, str], marketdata: Path, tmp_path: Path) -> Iterator[Compose]:
    """A project whose sandbox plays recordings, and whose database can be looked into."""
    tape = ["--capture", "/captures", "--speed", "40", "--hold"]
    changes = {
        "sandbox": {
            "command": ["sandbox", "--host", "0.0.0.0", "--port", "8000", *tape],
            "volumes": [f"{marketdata / 'binance-spot'}:/captures:ro"],
        },
        "timescaledb": {"ports": ["127.0.0.1::5432"]},
    }
    override = tmp_path / "compose.override.yaml"
    override.write_text(json.dumps({"services": changes}))
    project = Compose(environment, override)
    project.run("down", "--volumes")
    project.run("build", "prepare")
    yield project
    project.run("down", "--volumes")


@pytest.fixture
def truth(marketdata: Path) -> Candles:
    """The candles of the recording, computed without tickplant."""
    return offline.candles(
        offline.binance_trades(offline.binance_frames(marketdata / "binance-spot", *SYMBOLS))
    )


async def test_whatever_is_killed_and_taken_down_the_candles_are_those_of_the_recording(
    compose: Compose, truth: Candles
) -> None:
    compose.up("--scale", "worker=3", "--scale", "api=2")
    assert len(compose.containers("worker")) == 3
    assert len(compose.containers("api")) == 2
    assert b"<html" in compose.get("proxy", 8080, "/").lower()

    rng = random.Random(SEED)
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        await asyncio.to_thread(_kill, rng.choice(compose.containers(rng.choice(KILLED))))
    await _expect(compose, truth)

    compose.run("down")
    compose.up()
    await _expect(compose, truth)
    assert "DIFFERS" not in compose.run("exec", "-T", "worker", "tickplant", "audit")


def _kill(container: str) -> None:
    """Kill all of a container's processes at once, and start it again."""
    docker("kill", container)
    assert docker("start", container).returncode == 0


async def _expect(compose: Compose, truth: Candles) -> None:
    """Wait until the candles stored are the true ones, every trade is there once, and the API is well."""
    count = sum(candle[6] for (_, interval, _), candle in truth.items() if interval == "1m")

    async def complete() -> bool:
        try:
            url = compose.database()
            stored_count = await stored.fetch_value(url, "select count(*) from trades")
            missing = await stored.fetch_value(url, "select count(*) from ledger where not isempty(missing)")
        except (OSError, AssertionError, *OUTAGE):  # it is being started again
            return False
        return bool(stored_count >= count and missing == 0)

    async def ready() -> bool:
        try:
            return bool(json.loads(compose.get("proxy", 8080, "/health/ready"))["status"] == "ready")
        except (OSError, AssertionError):
            return False

    await until(complete, "every trade stored", timeout_s=240)
    await until(ready, "the API is ready", timeout_s=60)
    assert await stored.fetch_value(compose.database(), "select count(*) from trades") == count
    assert await stored.read_candles(compose.database()) == truth


def test_containers_hold_no_secret_and_no_tool_and_do_not_run_as_root(compose: Compose) -> None:
    compose.up()
    password = compose.run("exec", "-T", "timescaledb", "cat", "/run/owner/password").strip()
    for service in ("sandbox", "ingest", "worker", "api", *SERVERS):
        (container,) = compose.containers(service)
        logs = docker("logs", container)
        assert password not in docker("inspect", container).stdout + logs.stdout + logs.stderr
        assert "0" not in _users(container), service
    image = image_of("worker")
    assert password not in docker("history", "--no-trunc", image).stdout
    look = ("run", "--rm", "--entrypoint", "sh", image, "-c")
    assert docker(*look, "; ".join(f"command -v {tool}" for tool in TOOLS)).stdout == ""
    assert docker(*look, "id -u").stdout == "10001\n"


def test_prometheus_finds_every_instance(compose: Compose) -> None:
    compose.up("--scale", "worker=2", "--scale", "api=2")
    deadline_s = time.monotonic() + 60
    while _up(compose) != {"api": 2, "ingest": 1, "worker": 2}:
        assert time.monotonic() < deadline_s, _up(compose)
        time.sleep(0.5)


def _up(compose: Compose) -> dict[str, int]:
    """Return how many instances of each role Prometheus can scrape."""
    answer = json.loads(compose.get("prometheus", 9090, "/api/v1/query?query=count(up==1)by(job)"))
    found = {sample["metric"]["job"]: int(sample["value"][1]) for sample in answer["data"]["result"]}
    return {job: count for job, count in found.items() if job in ("api", "ingest", "worker")}


def _users(container: str) -> set[str]:
    """Return the user ids of a container's processes."""
    top = docker("top", container, "-eo", "pid,uid")
    assert top.returncode == 0, top.stderr
    return {line.split()[1] for line in top.stdout.splitlines()[1:]}


@pytest.mark.parametrize("profiles", ["", "demo", "kafka", "exporters", "demo,kafka,exporters"])
def test_every_profile_is_valid(profiles: str) -> None:
    try:
        version = docker("compose", "version")
    except FileNotFoundError:
        pytest.skip("there is no docker command")
    if version.returncode:
        pytest.skip("docker has no compose")
    done = docker(
        *("compose", "-f", str(REPOSITORY / "compose.yaml"), "config", "--quiet"),
        environment=os.environ | {"COMPOSE_PROFILES": profiles},
    )
    assert (done.returncode, done.stderr) == (0, "")
