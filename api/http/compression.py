"""ASGI middleware that compresses responses for clients that accept gzip."""

import gzip
import zlib
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES: Final = 1024
"""Shorter responses are not compressed: most of them fit into one packet."""
_LEVEL: Final = 4
"""Compresses the API's JSON about as well as the highest level, in a third of the time."""

EVENT_STREAM: Final = b"text/event-stream"
"""Never compressed: that would cost memory for each client, for a few bytes at a time."""

_GZIP_BITS: Final = 31
"""What zlib calls a gzip header and the largest window."""

Headers = list[tuple[bytes, bytes]]


def compressed(app: ASGIApp) -> Any:
    """Return an application that compresses longer and streamed responses for clients that accept gzip."""

    async def compress(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        accepted = accepts_gzip([value for name, value in scope["headers"] if name == b"accept-encoding"])
        start: Any = None
        stream: Any = None

        async def send_compressed(message: Message) -> None:
            nonlocal start, stream
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and message["type"] == "http.response.body":
                response_start, start = start, None
                body, more = message.get("body", b""), message.get("more_body")
                events = (b"content-type", EVENT_STREAM) in response_start["headers"]
                if (len(body) >= MIN_BYTES or more) and not events:
                    headers: Headers = [*response_start["headers"], (b"vary", b"Accept-Encoding")]
                    if accepted and more:
                        stream = zlib.compressobj(_LEVEL, wbits=_GZIP_BITS)
                        headers = [*headers, (b"content-encoding", b"gzip")]
                    elif accepted:
                        message = {**message, "body": gzip.compress(body, _LEVEL, mtime=0)}
                        headers = _of_compressed(headers, len(message["body"]))
                    response_start = {**response_start, "headers": headers}
                await send(response_start)
            if stream is not None and message["type"] == "http.response.body":
                message = {**message, "body": _compressed_part(stream, message)}
            await send(message)

        await app(scope, receive, send_compressed)

    return compress


def accepts_gzip(fields: list[bytes]) -> bool:
    """Return whether a client accepts gzip, given its Accept-Encoding headers (RFC 9110, 12.5.3)."""
    qualities: dict[str, float] = {}
    for item in b",".join(fields).decode("latin-1").lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, text = parameter.partition("=")
        try:
            qualities[coding.strip()] = float(text) if name.strip() == "q" else 1.0
        except ValueError:
            qualities[coding.strip()] = 0.0
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _compressed_part(stream: Any, message: Any) -> bytes:
    """Return a part of a streamed body, compressed so that the client can read all of it at once."""
    mode = zlib.Z_SYNC_FLUSH if message.get("more_body") else zlib.Z_FINISH
    part: bytes = stream.compress(message.get("body", b"")) + stream.flush(mode)
    return part


def _of_compressed(headers: Headers, length: int) -> Headers:
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-encoding", b"gzip"), (b"content-length", str(length).encode())]
