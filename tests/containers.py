"""Containers of the images that compose.yaml names, where a Docker engine and the images are at hand."""

import asyncio
import secrets
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
import msgspec
import redis.asyncio
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

REPOSITORY: Final = Path(__file__).parent.parent
_HOST: Final = "127.0.0.1"
_START_S: Final = 60
_RUN_S: Final = 600


@cache
def read_services() -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml."""
    document = msgspec.yaml.decode((REPOSITORY / "compose.yaml").read_bytes())
    return cast(dict[str, dict[str, Any]], document["services"])


def docker(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command docker, and return what came of it."""
    return subprocess.run(
        ["docker", *words], env=environment, capture_output=True, text=True, check=False, timeout=_RUN_S
    )


@cache
def why_not(*images: str) -> str | None:
    """Return why containers of these images can't be started here; None if they can."""
    try:
        engine = docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        return "there is no docker command"
    if engine.returncode != 0:
        return "no Docker engine answers"
    absent = [image for image in images if docker("image", "inspect", image).returncode != 0]
    return f"images are not here, `docker pull` brings them: {' '.join(absent)}" if absent else None


def image_of(service: str) -> str:
    """Return the image of a service, with its version."""
    return str(read_services()[service]["image"])


@contextmanager
def running_redis() -> Iterator[str]:
    """Run Redis as compose does, and yield its address."""
    container = _container("redis", 6379).with_command(read_services()["redis"]["command"])
    with _started(container):
        url = f"redis://{_HOST}:{container.get_exposed_port(6379)}/0"
        asyncio.run(_until_ready(lambda: _ping(url)))
        yield url


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run PostgreSQL with TimescaleDB as compose does, and yield its address."""
    password = secrets.token_urlsafe(16)
    container = _container("timescaledb", 5432).with_command(read_services()["timescaledb"]["command"])
    container.with_envs(POSTGRES_USER="tickplant", POSTGRES_DB="tickplant", POSTGRES_PASSWORD=password)
    with _started(container):
        address = f"{_HOST}:{container.get_exposed_port(5432)}"
        url = f"postgresql://tickplant:{password}@{address}/tickplant"
        asyncio.run(_until_ready(lambda: _select(url)))
        yield url


def _container(service: str, port: int) -> "DockerContainer":
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image_of(service))
    container.ports[str(port)] = cast(Any, (_HOST, None))  # of no other network; any free port
    return container


@contextmanager
def _started(container: "DockerContainer") -> Iterator[None]:
    from testcontainers.core.config import testcontainers_config

    # What removes containers after a killed run is an image of its own, which may not be here.
    testcontainers_config.ryuk_disabled = why_not(testcontainers_config.ryuk_image) is not None
    with container:
        yield


async def _until_ready(answers: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            try:
                await answers()
            except (OSError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.1)
            else:
                return


async def _ping(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    try:
        await client.ping()
    finally:
        await client.aclose()


async def _select(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.fetchval("select 1")
    finally:
        await connection.close()
