"""Translates one websocket client's requests, and this plant's messages to it. Pure, but for the clock."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from api.binance.errors import BAD_SYMBOL
from api.binance.messages import StreamState
from api.binance.streams import channel_key, parse_stream, split_names
from api.live.frames import EncodedMessage, text_frame
from tickplant.clock import now_us

_OF_ADDRESS: Final = "of the address"
"""The id of the request for the streams in the address, which is not acknowledged."""

_INVALID_JSON: Final = 3
_INVALID_REQUEST: Final = 2


class _Request(Struct, frozen=True):
    method: str
    params: list[str | bool] = []
    id: int | str | None = None


class _Incoming(Struct, frozen=True):
    """One of this plant's messages."""

    type: str
    channel: str | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    id: int | str | None = None
    code: str = ""
    message: str = ""


class Translation:
    """Translates for one client."""

    def __init__(self, venue: str, streams: str, *, combined: bool) -> None:
        """Translate the channels of a venue.

        Args:
            venue: whose symbols the streams name.
            streams: those in the address.
            combined: whether messages name their stream.
        """
        self._venue = venue
        self._combined = combined
        self._of_address = split_names(streams)
        self._streams: dict[str, StreamState] = {}
        self._by_channel: dict[str, dict[str, StreamState]] = {}

    def first_request(self) -> bytes | None:
        """Return the request for the streams in the address; None if it names none.

        Raises:
            ValueError: there is no such stream.
        """
        return self._subscribe(self._of_address, _OF_ADDRESS) if self._of_address else None

    def requests(self, text: str | bytes) -> tuple[list[bytes], bytes]:
        """Translate a request; returns those to carry out, and frames to send the client at once."""
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.ValidationError as error:
            return [], _error(_INVALID_REQUEST, f"Invalid request: {error}", None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return [], _error(_INVALID_JSON, f"Invalid JSON: {error}", None)
        try:
            return self._carry_out(request)
        except ValueError as error:
            return [], _error(_INVALID_REQUEST, f"Invalid request: {error}", request.id)

    def frames(self, messages: Sequence[EncodedMessage]) -> bytes:
        """Return the frames of this plant's messages, translated."""
        return b"".join(part for message in messages for part in self._translate(message.payload))

    def _carry_out(self, request: _Request) -> tuple[list[bytes], bytes]:
        names = [name for name in request.params if isinstance(name, str)]
        if request.method == "SUBSCRIBE" and names:
            return [self._subscribe(names, request.id)], b""
        if request.method == "UNSUBSCRIBE":
            unused = self._unsubscribe(names)
            return [_request("unsubscribe", unused, _OF_ADDRESS)] if unused else [], _result(None, request.id)
        if request.method == "LIST_SUBSCRIPTIONS":
            return [], _result(list(self._streams), request.id)
        if request.method == "SET_PROPERTY" and request.params[:1] == ["combined"]:
            self._combined = request.params[-1] is True
        elif request.method == "GET_PROPERTY":
            return [], _result(self._combined, request.id)
        elif request.method != "SUBSCRIBE":
            raise ValueError(
                f"unknown variant {request.method[:40]!r}, expected one of SUBSCRIBE, UNSUBSCRIBE,"
                " LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"
            )
        return [], _result(None, request.id)

    def _subscribe(self, names: Iterable[str], id_: int | str | None) -> bytes:
        streams = [parse_stream(name) for name in names]
        channels: dict[str, None] = {}
        for stream in streams:
            state = self._streams.setdefault(stream.name, StreamState(stream, self._venue))
            for channel in stream.channels(self._venue):
                self._by_channel.setdefault(channel_key(channel), {})[stream.name] = state
                channels[channel] = None
        return _request("subscribe", list(channels), id_)

    def _unsubscribe(self, names: Iterable[str]) -> list[str]:
        """Forget streams; return the channels that no other stream needs."""
        unused = []
        for name in names:
            state = self._streams.pop(name, None)
            for channel in state.stream.channels(self._venue) if state else ():
                users = self._by_channel.get(channel_key(channel), {})
                users.pop(name, None)
                if not users:
                    self._by_channel.pop(channel_key(channel), None)
                    unused.append(channel)
        return unused

    def _translate(self, payload: bytes) -> Iterable[bytes]:
        incoming = msgspec.json.decode(payload, type=_Incoming)
        if incoming.type == "ack":
            return [] if incoming.id == _OF_ADDRESS else [_result(None, incoming.id)]
        if incoming.type == "error":
            code = BAD_SYMBOL if incoming.code == "unknown_symbol" else _INVALID_REQUEST
            return [_error(code, incoming.message, None if incoming.id == _OF_ADDRESS else incoming.id)]
        if incoming.channel is UNSET or incoming.data is UNSET:
            return []
        return self._of_channel(incoming.channel, incoming.data, snapshot=incoming.type == "snapshot")

    def _of_channel(self, channel: str, data: Raw, *, snapshot: bool) -> Iterable[bytes]:
        kind, _, rest = channel.partition(":")
        symbol = rest.partition(":")[2]
        states = dict(self._by_channel.get(channel_key(channel), {}))
        if kind == "stats":
            states |= self._by_channel.get("stats", {})  # of all symbols
        now_ms = now_us() // 1000
        for name, state in states.items():
            state.symbol = symbol.rpartition(":")[0] if kind == "candles" else symbol
            for message in state.messages(kind, data, now_ms, snapshot=snapshot):
                content: Any = message if state.stream.symbol else [message]
                wrapped = {"stream": name, "data": content} if self._combined else content
                yield text_frame(wrapped).data


def _request(op: str, channels: list[str], id_: int | str | None) -> bytes:
    return msgspec.json.encode({"op": op, "channels": channels, "id": id_})


def _result(result: object, id_: int | str | None) -> bytes:
    return text_frame({"result": result, "id": id_}).data


def _error(code: int, message: str, id_: int | str | None) -> bytes:
    return text_frame({"code": code, "msg": message, "id": id_}).data
