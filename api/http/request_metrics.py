"""ASGI middleware that measures requests."""

import time
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.http.compression import EVENT_STREAM
from tickplant import metrics

UNMATCHED: Final = "unmatched"
"""The route label of requests that no route matches."""


def measured(app: ASGIApp) -> Any:
    """Return an application that measures each request by route and status; of a stream, until it begins."""

    async def measure(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        status, ended_s = 500, 0.0

        async def observe(message: Message) -> None:
            nonlocal status, ended_s
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-type", EVENT_STREAM) in message["headers"]:
                    ended_s = time.perf_counter()
            await send(message)

        started_s = time.perf_counter()
        try:
            await app(scope, receive, observe)
        finally:
            route = scope.get("path_template") or UNMATCHED
            duration_s = (ended_s or time.perf_counter()) - started_s
            metrics.API_REQUEST_S.labels(route, status).observe(duration_s)

    return measure
