"""No panel is empty after a replay: SQL and PromQL of the dashboards, run as Grafana runs them."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import dashboards
import pytest
from conftest import VARIANTS
from dashboards import DASHBOARDS, PROMETHEUS, SQL, Json, Range, Values, expand_promql, expand_sql
from played import Plant, Prometheus, plant_of
from working import until

from db.grants import READER

LOADED = [dashboards.load(path) for path in DASHBOARDS]
RATE_INTERVAL = "1m"


@pytest.fixture
async def plant(redis_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant_of(redis_url, database_url, tmp_path) as plant:
        yield plant


class Database:
    """Answers as Grafana's data source does."""

    def __init__(self, connection: asyncpg.Connection, time: Range, *, timescaledb: bool) -> None:
        self._connection = connection
        self._time = time
        self._timescaledb = timescaledb

    async def ask(self, text: str, values: Values) -> list[asyncpg.Record]:
        expanded = expand_sql(text, values, self._time, timescaledb=self._timescaledb)
        assert "$" not in expanded, expanded
        return await self._connection.fetch(expanded)

    async def choose(self, dashboard: Json) -> dict[str, Any]:
        """Choose all of a variable's values where several can be, and else the first."""
        values: dict[str, Any] = {}
        for variable in dashboards.variables(dashboard):
            if variable["type"] == "custom":
                values[variable["name"]] = variable["current"]["value"]
            elif variable["type"] == "query":
                options = [row[0] for row in await self.ask(variable["query"], values)]
                values[variable["name"]] = options if variable.get("multi") else options[0]
        return values


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    await connection.execute(f"set role {READER}")  # with the rights of Grafana's login
    yield connection
    await connection.close()


async def span_of(connection: asyncpg.Connection) -> Range:
    start = await connection.fetchval("select min(event_time) from trades")
    return Range(start - timedelta(minutes=1), datetime.now(UTC), timedelta(minutes=1))


async def empty_of_sql(database: Database) -> list[str]:
    """Return the queries that give no row, or no value besides labels and times."""
    empty = []
    for dashboard in LOADED:
        values = await database.choose(dashboard)
        for query in dashboards.panel_queries(dashboard, SQL):
            rows = await database.ask(query.text, values)
            numbers = [
                value
                for row in rows
                for value in row.values()
                if not isinstance(value, str | datetime | None)
            ]
            if not numbers:
                empty.append(query.where)
        for query in dashboards.annotation_queries(dashboard):
            await database.ask(query.text, values)  # there may be nothing to mark
    return empty


async def empty_of_promql(prometheus: Prometheus) -> list[str]:
    """Return the queries that have given no number within some seconds after the replay."""
    queries = [query for dashboard in LOADED for query in dashboards.panel_queries(dashboard, PROMETHEUS)]
    time = Range(datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC), timedelta(seconds=15))
    empty = [(query.where, expand_promql(query.text, time, RATE_INTERVAL)) for query in queries]

    async def filled() -> bool:
        nonlocal empty
        empty = [(where, text) for where, text in empty if not await prometheus.is_filled(text)]
        return not empty

    with contextlib.suppress(AssertionError):
        await until(filled, "every panel shows something", timeout_s=10)
    return [where for where, _ in empty]


def lint(exposed: bytes) -> bytes:
    """Return the findings of promtool, which comes with Prometheus, about metrics."""
    done = subprocess.run(["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False)
    return done.stdout + done.stderr


async def test_no_panel_is_empty(
    plant: Plant, database_url: str, recording: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    variant = request.node.callspec.params["database_url"]
    binary = shutil.which("prometheus") if variant == VARIANTS[-1] else None
    await plant.start(recording, speed=150 if binary else 1000)
    async with AsyncExitStack() as stack:
        prometheus = None
        if binary is not None:
            prometheus = await stack.enter_async_context(Prometheus(binary, plant.ports, tmp_path))
        await plant.play()
        connection = await stack.enter_async_context(connected(database_url))
        database = Database(connection, await span_of(connection), timescaledb=variant == "timescaledb")
        assert await empty_of_sql(database) == []
        if prometheus is not None:
            assert await empty_of_promql(prometheus) == []
            exposed = {service: await plant.metrics(service) for service in plant.ports}
            assert {
                service: await asyncio.to_thread(lint, page) for service, page in exposed.items()
            } == dict.fromkeys(exposed, b"")
    if variant == VARIANTS[-1] and binary is None:
        pytest.skip("panels with SQL are filled; prometheus is not installed, so no PromQL was run")
