"""uvicorn's HTTP protocol with requests answered in order, and ambiguous ones refused.

uvicorn parses everything that it receives, starts malformed requests, and refuses them before it has answered
those before them. Here what follows a request is parsed once that has been answered. A request is refused
before it starts if its head is too long, or leaves open where it ends or which host it is for (RFC 9112,
sections 3.2 and 6.3): another server could read it differently.
"""

import asyncio
from typing import Any, Final, Literal
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES: Final = 16 * 1024
"""The longest head that is always accepted; one that is longer by `PIECE_BYTES` never is."""
PIECE_BYTES: Final = 4 * 1024
"""How much is parsed at once. Complete requests in one piece wait as objects, everything else as bytes."""
LINGER_S: Final = 2.0
"""How long a client may continue to send after it has been refused; the input is discarded.

A connection closed with unread input is reset, and the client may lose the response (RFC 9112, section 9.6).
"""

_INVALID: Final = "Invalid HTTP request received."
_TOO_LONG: Final = "The request's head is too long."

_TRANSPORT: Final = "tickplant.transport"
"""The ASGI scope extension that holds the transport of a connection."""

Part = Literal["head", "body"]
"""A part of a request."""


def transport_of(scope: Any) -> asyncio.Transport:
    """Return the transport of the connection of a request."""
    transport: asyncio.Transport = scope["extensions"][_TRANSPORT]
    return transport


class StrictProtocol(HttpToolsProtocol):
    """An HTTP connection."""

    part: Part = "head"
    """The part of a request that the parser is in, or that comes next."""
    begun = False
    """Whether the parser is inside of a request."""
    upgraded = False
    """Whether the connection has become a websocket."""
    lingering: asyncio.TimerHandle | None = None
    """The end of a connection whose input is discarded."""
    refusal: tuple[int, str] | None = None
    """Status and text for a request that is refused once those before it have been answered."""
    _bytes = 0
    """The size of the pieces since the request began, the first of which may hold others, too."""
    _unparsed = b""
    """What was received after a request that hasn't been answered yet."""

    @property
    def responding(self) -> bool:
        """Whether a complete request has not been answered yet."""
        pending = self.cycle is not None and not self.cycle.response_complete
        return bool(self.pipeline) or (pending and self.part == "head")

    def data_received(self, data: bytes) -> None:
        """Parse what has been received, until a response is due."""
        if self.lingering is None and self.refusal is None:
            self._unparsed = self._unparsed + data if self._unparsed else data
            self._parse()

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {_TRANSPORT: self.transport}
        self.begun, self._bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, but not from the trailer after a body, which would replace what has been checked."""
        if self.part == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the head, and start the request.

        Raises:
            ValueError: the head is invalid; the parser passes this on as an error of its own.
        """
        self._check_head()
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # the parser would take its body for the other protocol: see `_parse_again`
        if self.url.startswith(b"/"):
            super().on_headers_complete()
        else:  # a whole URL, as for proxies: uvicorn would drop its host, which has yet to be checked
            target, self.url = self.url, b"/"
            raw_path, _, query = target.partition(b"?")
            scope: Any = self.scope
            scope_of_target = {"path": unquote(raw_path.decode("ascii")), "raw_path": raw_path}
            super().on_headers_complete()
            self.url = target
            scope.update(scope_of_target, query_string=query)
        self.part = "body"

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        if self.part == "body":
            super().on_message_complete()
        self.part, self.begun = "head", False

    def on_response_complete(self) -> None:
        """Continue with what came after the request."""
        last = not self.pipeline
        super().on_response_complete()
        if self.lingering is None and not self.transport.is_closing():
            if last and self.refusal is not None:
                self.refuse(*self.refusal)
            else:
                self._parse()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        if self.lingering is not None:
            self.lingering.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the websocket protocol."""
        self.upgraded = True
        super().handle_websocket_upgrade()

    def refuse(self, status: int, text: str) -> None:
        """Answer an incomplete or invalid request, unless that has begun already, and close."""
        answered = False
        if self.part == "body":
            answered = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not answered:
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(text)).encode()),
                (b"connection", b"close"),
            ]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", text.encode()]))
        self.linger()

    def linger(self) -> None:
        """Close once the client has read everything, and discard what it sends until then."""
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.lingering = self.loop.call_later(LINGER_S, self.transport.close)

    def _parse(self) -> None:
        data, start = self._unparsed, 0
        self._unparsed = b""
        while start < len(data) and self._is_reading():
            if self.responding:
                self._unparsed = data[start:]
                self.flow.pause_reading()
                return
            start += self._feed(data[start : start + PIECE_BYTES])

    def _is_reading(self) -> bool:
        ended = self.upgraded or self.lingering is not None or self.refusal is not None
        return not ended and not self.transport.is_closing()

    def _feed(self, piece: bytes) -> int:
        """Pass a piece to the parser; return how much of it was parsed."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self._refuse_newest(400, _INVALID)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._should_upgrade():
                self._parse_again()
                return int(upgrade.args[0])
            if self.responding:  # a websocket can't follow in the middle of answers
                self._refuse_newest(400, _INVALID)
            else:
                self.handle_websocket_upgrade()
        else:
            self._bytes += len(piece)
            if self.begun and self.part == "head" and self._bytes > HEAD_BYTES + PIECE_BYTES:
                self._refuse_newest(431, _TOO_LONG)
        return len(piece)

    def _parse_again(self) -> None:
        """Pass a head to the parser again, without the protocol that it asks for: not all are spoken here."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self._unsupported_upgrade_warning()
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self._feed(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers)))

    def _refuse_newest(self, status: int, text: str) -> None:
        """Refuse the newest request, after those before it, and read no further ones."""
        self.logger.warning(text)
        queued = self.part == "body" and bool(self.pipeline)
        if queued:
            self.pipeline.popleft()
        if queued or self.responding:
            self.refusal = status, text
        else:
            self.refuse(status, text)

    def _check_head(self) -> None:
        """Raise ValueError where the head leaves open where the request ends, or which host it is for."""
        version = self.parser.get_http_version()
        hosts = bodies = 0
        for name, value in self.headers:
            hosts += name == b"host"
            bodies += name in (b"content-length", b"transfer-encoding")
            if name == b"transfer-encoding" and (version != "1.1" or value.lower() != b"chunked"):
                raise ValueError("transfer coding")
        if self.parser.get_method() == b"CONNECT":  # what follows it would be another protocol's
            raise ValueError("method")
        if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
            raise ValueError("version or host")
        if bodies and self.parser.should_upgrade() and self._should_upgrade():
            raise ValueError("a body before a websocket")
