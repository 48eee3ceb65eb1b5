"""Measures requests: an ASGI application around another."""

import time
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tickplant import metrics

UNMATCHED: Final = "unmatched"
"""Stands for the route of requests that no route matches."""


def measured(app: ASGIApp) -> Any:
    """Return an application that measures each request by route and status."""

    async def measure(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began_s = time.perf_counter()
        try:
            await app(scope, receive, note)
        finally:
            route = scope.get("path_template") or UNMATCHED
            metrics.API_REQUEST_S.labels(route, status).observe(time.perf_counter() - began_s)

    return measure
