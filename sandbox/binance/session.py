"""What one websocket connection asks for: its address, then its requests.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams

    {"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}   ->  {"result":null,"id":1}
    {"method":"LIST_SUBSCRIPTIONS","id":3}                     ->  {"result":["btcusdt@trade"],"id":3}
    {"method":"JUMP","id":4}  ->  {"error":{"code":2,"msg":"Invalid request: unknown variant ..."},"id":4}
"""

import json
import re
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.frames import View
from sandbox.venue import BadAddressError

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_STREAM: Final = re.compile(r"[^@\s/!]+@[^\s/]+|![^\s/]+")
_STRING_ID: Final = re.compile(r"[A-Za-z0-9_-]{0,36}")  # clients send UUIDs, and the venue takes them


class Style(NamedTuple):
    """How a connection's frames look."""

    combined: bool
    """Whether each payload is wrapped with the name of its stream."""
    micro: bool
    """Whether times are in microseconds instead of milliseconds."""


class _RequestError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BinanceSession:
    """The state of one connection.

    Args:
        combined: whether payloads are wrapped with their stream's name.
        micro: whether times are in microseconds.
        streams: subscribed from the start.
    """

    def __init__(self, *, combined: bool, micro: bool, streams: list[str]) -> None:
        self._combined = combined
        self._micro = micro
        self._streams = dict.fromkeys(streams)
        self.view = self._look()

    def greet(self) -> list[str]:
        """Return what a new connection is sent: nothing."""
        return []

    def receive(self, message: str | bytes) -> list[str]:
        """Handle a request and return the answer."""
        request_id: int | str | None = None
        try:
            request = _parse(_text_of(message))
            request_id = _id_of(request)
            result = self._handle(request)
        except _RequestError as error:
            return [_refuse(error, request_id)]
        self.view = self._look()
        return [_encode({"result": result, "id": request_id})]

    def refuse(self, message: str | bytes) -> list[str] | None:
        """Return the refusal of a subscription; None where the message isn't one."""
        try:
            request = _parse(_text_of(message))
            request_id = _id_of(request)
        except _RequestError:
            return None
        if request["method"] != "SUBSCRIBE":
            return None
        return [_refuse(_RequestError(1, "Internal error: please try again later"), request_id)]

    def beat(self, *, quiet: bool) -> list[str]:
        """Return what is sent once a second: nothing; Binance pings instead."""
        return []

    def _handle(self, request: dict[str, Any]) -> Any:
        method, params = request["method"], request.get("params", [])
        if not isinstance(params, list):
            raise _RequestError(2, "Invalid request: invalid type: expected a sequence")
        if method == "LIST_SUBSCRIPTIONS":
            if params:
                raise _RequestError(2, "Invalid request: too many parameters")
            return list(self._streams)
        if method == "SET_PROPERTY":
            return self._set_property(params)
        if method == "GET_PROPERTY":
            _check_property(params, 1)
            return self._combined
        return self._change(method, params)

    def _change(self, method: str, streams: list[Any]) -> None:
        if not streams or not all(isinstance(name, str) and _STREAM.fullmatch(name) for name in streams):
            raise _RequestError(2, "Invalid request: invalid stream")
        if method == "UNSUBSCRIBE":
            for name in streams:
                self._streams.pop(name, None)
            return
        self._streams |= dict.fromkeys(streams)

    def _set_property(self, params: list[Any]) -> None:
        _check_property(params, 2)
        if len(params) < 2 or not isinstance(params[1], bool):
            raise _RequestError(1, "Invalid value type: expected Boolean")
        self._combined = params[1]

    def _look(self) -> View:
        return View(frozenset(self._streams), Style(self._combined, self._micro))


def open_session(path: str) -> BinanceSession:
    """Return the session that an address asks for.

    Args:
        path: `/ws/<stream>[/<stream>...]` or `/stream?streams=<stream>[/<stream>...]`, percent-encoded, with
            `timeUnit=MICROSECOND` for microseconds.

    Raises:
        BadAddressError: it is neither of these.
    """
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    unit = query.get("timeUnit", ["MILLISECOND"])[-1]
    if unit.upper() not in ("MILLISECOND", "MICROSECOND"):
        raise BadAddressError(f"timeUnit is MILLISECOND or MICROSECOND, not {unit[:30]!r}")
    place, _, raw = parts.path.lstrip("/").partition("/")
    if place == "ws":
        names = [unquote(raw)]
    elif place == "stream" and not raw:
        names = query.get("streams", [])
    else:
        raise BadAddressError("streams are at /ws/<stream> and /stream?streams=<stream>/<stream>")
    streams = [name for text in names for name in text.split("/") if name]
    return BinanceSession(combined=place == "stream", micro=unit.upper() == "MICROSECOND", streams=streams)


def shutdown_notice(view: View, now_us: int) -> str:
    """Return the event that announces the server's end to a connection."""
    style = view.style
    assert isinstance(style, Style)
    event = {"e": "serverShutdown", "E": now_us if style.micro else now_us // 1000}
    return _encode({"stream": "!serverShutdown", "data": event} if style.combined else event)


def _text_of(message: str | bytes) -> str:
    return message if isinstance(message, str) else message.decode(errors="replace")


def _refuse(error: _RequestError, request_id: int | str | None) -> str:
    return _encode({"error": {"code": error.code, "msg": str(error)}, "id": request_id})


def _parse(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise _RequestError(3, f"Invalid JSON: expected value at {place}") from error
    if not isinstance(request, dict):
        raise _RequestError(2, "Invalid request: expected a JSON object")
    method = request.get("method")
    if method is None:
        raise _RequestError(2, f"Invalid request: missing field `method` at {_place(text, len(text))}")
    if method not in _METHODS:
        expected = ", ".join(f"`{name}`" for name in _METHODS)
        quoted = json.dumps(method)
        end = max(0, text.find(quoted)) + len(quoted)
        wrong = f"unknown variant `{str(method)[:60]}`, expected one of {expected}"
        raise _RequestError(2, f"Invalid request: {wrong} at {_place(text, end)}")
    return request


def _place(text: str, end: int) -> str:
    before = text[:end]
    return f"line {before.count(chr(10)) + 1} column {end - before.rfind(chr(10)) - 1}"


def _id_of(request: dict[str, Any]) -> int | str | None:
    """Return the request's id.

    Raises:
        _RequestError: it has none, or of another type than the venue accepts.
    """
    found = request.get("id", ...)
    if found is None:
        return None
    if isinstance(found, int) and not isinstance(found, bool) and -(2**63) <= found < 2**63:
        return found
    if isinstance(found, str) and _STRING_ID.fullmatch(found):
        return found
    raise _RequestError(2, "Invalid request: request ID must be an unsigned integer")


def _check_property(params: list[Any], most: int) -> None:
    if not params or not isinstance(params[0], str):
        raise _RequestError(2, "Invalid request: property name must be a string")
    if len(params) > most:
        raise _RequestError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise _RequestError(0, "Unknown property")


def _encode(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
