"""ASGI middleware that adds headers to every response."""

from collections.abc import Mapping
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

_STARTS: Final = ("http.response.start", "websocket.http.response.start")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of all responses; pages have a content policy of their own."""
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
"""Of responses over TLS: a browser that has got it never asks without TLS."""
_ADDED: Final = "added_headers"


def with_headers(app: ASGIApp, fixed: Mapping[str, str]) -> Any:
    """Return an application whose responses have some headers, unless they set these themselves.

    Args:
        app: the application.
        fixed: those of all responses. `add_headers` adds others to one.
    """
    fixed_pairs = _encoded(fixed)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                start: Any = message
                present = {name.lower() for name, _ in start["headers"]}
                added = _encoded(added_headers(scope))
                added += [_HSTS] if _is_secure(scope) else []
                more = [pair for pair in (*fixed_pairs, *added) if pair[0] not in present]
                start = {**start, "headers": [*start["headers"], *more]}
                await send(start)
                return
            await send(message)

        await app(scope, receive, send_with_headers)

    return serve


def add_headers(scope: Any, headers: Mapping[str, str]) -> None:
    """Add headers to the response to a request."""
    if headers:
        scope.setdefault("state", {})[_ADDED] = headers


def added_headers(scope: Any) -> dict[str, str]:
    """Return the headers that were added to the response to a request."""
    added: dict[str, str] = scope.get("state", {}).get(_ADDED, {})
    return added


def _is_secure(scope: Any) -> bool:
    """Return whether the client speaks TLS, to a name that other servers don't use without TLS."""
    if scope["scheme"] not in ("https", "wss"):
        return False
    hosts = [value.partition(b":")[0].lower() for name, value in scope["headers"] if name == b"host"]
    return not any(host == b"localhost" or host.endswith(b".localhost") for host in hosts)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
