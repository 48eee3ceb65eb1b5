"""HEAD for everything that GET answers, and a complete Allow header: an ASGI application around another."""

from collections.abc import Collection, Mapping
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def with_head(app: ASGIApp, methods: Mapping[str, Collection[str]]) -> Any:
    """Return an application that answers HEAD as it would GET, without the body.

    Args:
        app: what answers.
        methods: those of each route, by the path as it is described. The framework's own answers to OPTIONS
            name only what was registered first.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        requested: Any = {**scope, "method": "GET"} if head else scope

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = methods.get(str(requested.get("path_template")), ())
                headers = [(name, _with_head(name, value, known)) for name, value in message["headers"]]
                message = {**message, "headers": headers}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await app(requested, receive, send_head)

    return answer


def _with_head(name: bytes, value: bytes, known: Collection[str]) -> bytes:
    """Return the value of a header; of Allow with the methods in order, and HEAD where there is GET."""
    if name.lower() != b"allow":
        return value
    methods = {method.strip() for method in value.decode().split(",")} | {*known, "OPTIONS"}
    methods.discard("websocket")
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods)).encode()
