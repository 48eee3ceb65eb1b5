"""The framework resolves dependencies without tasks of their own; fails if its internals have changed."""

import asyncio
from typing import Any

from litestar import Litestar, get
from litestar.di import NamedDependency, Provide

from api.http.dependencies import resolve_in_turn


async def tasks_of(app: Litestar) -> set[Any]:
    """Return the tasks in which a request's dependencies are resolved, less the request's own."""
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        "state": {},
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    await app(scope, receive, send)
    return SEEN - {asyncio.current_task()}


SEEN: set[Any] = set()


async def note() -> int:
    SEEN.add(asyncio.current_task())
    return 1


async def note_again() -> int:
    return await note()


@get("/")
async def route(a: NamedDependency[int], b: NamedDependency[int]) -> int:
    return a + b


def application() -> Litestar:
    SEEN.clear()
    return Litestar([route], dependencies={"a": Provide(note), "b": Provide(note_again)}, logging_config=None)


async def test_dependencies_are_resolved_in_the_task_of_the_request() -> None:
    app = application()
    resolve_in_turn(app)
    assert await tasks_of(app) == set()


async def test_the_framework_starts_tasks_of_its_own_otherwise() -> None:
    assert len(await tasks_of(application())) == 2
