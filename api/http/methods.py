"""ASGI middleware for HEAD wherever there is GET, and for a complete Allow header."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_HEAD: Final = "head"


def is_head(scope: Scope) -> bool:
    """Return whether only the headers of a response are requested."""
    return _HEAD in scope


def with_head(app: ASGIApp, methods: Mapping[str, Collection[str]]) -> Any:
    """Return an application that serves HEAD as GET without the body.

    Args:
        app: the application.
        methods: those of each route, by its path template. The framework's own responses to OPTIONS list
            only those of the handler that was registered first.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        requested: Any = {**scope, "method": "GET", _HEAD: True} if head else scope

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowed = methods.get(str(requested.get("path_template")), ())
                headers = [(name, _with_head(name, value, allowed)) for name, value in message["headers"]]
                message = {**message, "headers": headers}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await app(requested, receive, send_head)

    return serve


def _with_head(name: bytes, value: bytes, allowed: Collection[str]) -> bytes:
    """Return the value of a header; of Allow with the methods in order, and HEAD where there is GET."""
    if name.lower() != b"allow":
        return value
    methods = {method.strip() for method in value.decode().split(",")} | {*allowed, "OPTIONS"}
    methods.discard("websocket")
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods)).encode()
