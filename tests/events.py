"""A client of server-sent events, which reads them as the HTML standard says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    """An event, and the id that the client has after it."""

    id: str | None
    message: dict[str, Any]


class Events:
    """Reads events as the HTML standard says."""

    def __init__(self, response: httpx.Response, last_id: str | None = None) -> None:
        self._lines = response.aiter_lines()
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.comments = 0

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        data: list[str] = []
        async for line in self._lines:
            if not line:
                if data:
                    return Event(self.last_id, json.loads("\n".join(data)))
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                self.last_id = value
            elif name == "data":
                data.append(value)
            elif name == "retry":
                self.retry_ms = int(value)
            else:
                assert name == ""
                self.comments += 1
        return None

    async def until(self, kind: str) -> Event:
        async with asyncio.timeout(10):
            while True:
                event = await self.next()
                assert event is not None
                if event.message["type"] == kind:
                    return event


@asynccontextmanager
async def streaming(
    http: httpx.AsyncClient, *channels: str, last_id: str | None = None, **parameters: str
) -> AsyncIterator[Events]:
    """Open a stream, which must be accepted."""
    given = {"channels": ",".join(channels), **parameters}
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with http.stream("GET", "/sse", params=given, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in response.headers
        yield Events(response, last_id)
