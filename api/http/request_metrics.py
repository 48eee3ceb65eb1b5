"""ASGI middleware that measures requests."""

import time
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tickplant import metrics

UNMATCHED: Final = "unmatched"
"""The route label of requests that no route matches."""


def measured(app: ASGIApp) -> Any:
    """Return an application that measures each request by route and status."""

    async def measure(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_s = time.perf_counter()
        try:
            await app(scope, receive, observe)
        finally:
            route = scope.get("path_template") or UNMATCHED
            metrics.API_REQUEST_S.labels(route, status).observe(time.perf_counter() - started_s)

    return measure
