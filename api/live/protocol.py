"""The websocket protocol: requests, messages and channels. Pure."""

from enum import IntEnum
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tickplant.errors import MALFORMED
from tickplant.market import SymbolId
from tickplant.validation_messages import place_of, sentence_of

Op = Literal["subscribe", "unsubscribe", "ping", "auth"]
Code = Literal[
    "malformed",
    "invalid_request",
    "unknown_op",
    "unknown_channel",
    "unknown_symbol",
    "ambiguous_symbol",
    "unknown_interval",
    "bad_cursor",
    "not_subscribed",
    "too_many_channels",
    "unauthorized",
    "unavailable",
]


class CloseCode(IntEnum):
    """Codes with which the API closes a websocket."""

    RESTART = 1012
    """The API is stopping; reconnect with the cursors."""
    NOT_UTF8 = 1007
    """A text message isn't UTF-8."""
    POLICY = 1008
    """Too many messages."""
    FAILED = 1011
    """Internal error."""
    UNAUTHORIZED = 3000
    """The API key is missing, invalid or revoked."""
    IDLE = 4009
    """The client has no channel, and has sent no request for some time."""
    SLOW = 4008
    """The client reads too slowly; the reason holds the cursor to resume at."""


class Channel(NamedTuple):
    """A channel: `price:venue:symbol`, `candles:venue:symbol:interval`, `connections`..."""

    kind: str
    """See `api.live.channels`."""
    venue: str = ""
    symbol: str = ""
    interval: str = ""

    def __str__(self) -> str:
        if not self.symbol:
            return self.kind
        text = f"{self.kind}:{self.venue}:{self.symbol}"
        return f"{text}:{self.interval}" if self.interval else text

    @property
    def symbol_id(self) -> SymbolId:
        """The symbol, of a channel that is of one."""
        return SymbolId(self.venue, self.symbol)

    @property
    def patterns(self) -> "tuple[Pattern, Pattern]":
        """The wildcards that match the channel."""
        return Pattern(self.kind, "", self.interval), Pattern(self.kind, self.venue, self.interval)


class Pattern(NamedTuple):
    """A wildcard: `trades:*`, `price:binance:*`, `candles:*:1m`..."""

    kind: str
    venue: str
    """Empty for all."""
    interval: str

    def __str__(self) -> str:
        text = f"{self.kind}:{self.venue}:*" if self.venue else f"{self.kind}:*"
        return f"{text}:{self.interval}" if self.interval else text


Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | str | None
"""The id of a request; every format has integers of 64 bits."""


class Request(Struct, frozen=True):
    """A request of a client."""

    op: str
    id: Id = None
    """Repeated in the response."""
    channels: list[str] = []
    since: str | dict[str, str] | None = None
    """A cursor, several with commas between them, or an object that has one for each channel."""
    every: str | None = None
    """Send changes once in an interval, such as 250ms, with the newest state of each."""
    snapshot: bool = True
    """Whether channels start with a snapshot."""
    key: str | None = None
    """Of `auth`: an API key."""


class _Numbered(Struct):
    """What may be a request."""

    id: Id = None


class Ack(Struct, frozen=True, tag_field="type", tag="ack"):
    """A request was handled."""

    id: Id
    op: Op
    channels: list[str]
    """Their full names, as in messages; wildcards by their names."""
    cursor: str | UnsetType = UNSET
    """Where channels without a message yet can be resumed; for wildcards, and without snapshots."""


class Pong(Struct, frozen=True, tag_field="type", tag="pong"):
    """The response to `ping`."""

    id: Id


class Error(Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """A request, or a part of it, failed; the connection stays open."""

    id: Id
    code: Code
    message: str
    channel: str | UnsetType = UNSET
    near: list[str] | UnsetType = UNSET


class Snapshot(Struct, frozen=True, tag_field="type", tag="snapshot"):
    """The state of a channel; the messages after it are changes."""

    channel: str
    cursor: str | UnsetType
    """Not in polled channels: `connections`, `stats`."""
    recovered: bool | UnsetType
    """False if the client had a cursor, or was subscribed, and something was lost since."""
    data: object
    """The whole state of the channel."""


class Resumed(Struct, frozen=True, tag_field="type", tag="resumed"):
    """Everything that the client missed in a channel or a wildcard follows."""

    channel: str
    cursor: str
    recovered: bool = True
    """False: something was lost; the changes from here on follow."""


class Joined(Struct, frozen=True, tag_field="type", tag="joined"):
    """A channel that is new joins a wildcard; its first change follows."""

    channel: str
    wildcard: str
    cursor: str
    recovered: bool
    """False if updates were lost since the client subscribed, so that earlier changes may be missing."""


class Update(Struct, frozen=True):
    """A change in a channel."""

    type: str
    channel: str
    cursor: str | UnsetType
    data: object


class StreamStatus(Struct, frozen=True, tag_field="type", tag="status"):
    """Whether updates arrive: `stalled` while Redis is unavailable, else `live`."""

    state: Literal["live", "stalled"]
    channels: list[str] | UnsetType = UNSET
    """The channels that it concerns: `stalled` while another program has taken a key in Redis that they need.
    Absent if it concerns all."""


class ProtocolError(Exception):
    """A request, or a part of it, can't be handled."""

    def __init__(
        self, code: Code, message: str, *, channel: str | None = None, near: list[str] | None = None
    ) -> None:
        """Describe the error.

        Args:
            code: for programs.
            message: for people.
            channel: the channel concerned, as the client wrote it.
            near: similar names, which may have been meant.
        """
        super().__init__(message)
        self.code = code
        self.channel = channel
        self.near = near

    def message(self, request_id: Id) -> Error:
        """Return the message for the client."""
        return Error(request_id, self.code, str(self), self.channel or UNSET, self.near or UNSET)


_request_decoder: Final = msgspec.json.Decoder(Request)


def parse_request(text: str | bytes) -> Request:
    """Parse a request.

    Raises:
        ProtocolError: the text isn't JSON, or not a request.
    """
    try:
        return _request_decoder.decode(text)
    except msgspec.ValidationError as error:
        message = str(error)
        raise ProtocolError(
            "invalid_request", f"{place_of(message) or 'a request'}: {sentence_of(message)}"
        ) from error
    except MALFORMED as error:
        raise ProtocolError("malformed", f"not JSON: {error}") from error


def request_id(text: str | bytes) -> Id:
    """Return the id of a request that is otherwise invalid, if it has one."""
    try:
        document = msgspec.json.decode(text)
    except MALFORMED:
        return None
    try:
        return msgspec.convert(document, _Numbered).id
    except msgspec.ValidationError:
        return None
