"""The channels of one websocket and the cursors to resume them at. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tickplant.client.errors import PlantError, TemporaryError
from tickplant.client.messages import Control, Message

_message: Final = msgspec.json.Decoder(Message)
_control: Final = msgspec.json.Decoder(Control)


class ChannelSubscription:
    """Channels with their cursors, over any number of connections."""

    def __init__(self, channels: Sequence[str], since: str | Mapping[str, str] | None = None) -> None:
        """Subscribe to channels.

        Args:
            channels: their names.
            since: where to start: a cursor, or one for each channel by its full name.
        """
        self._channels = list(channels)
        self._since = since if isinstance(since, str) else None
        self.cursors: dict[str, str] = {} if since is None or isinstance(since, str) else dict(since)
        """Where each channel is resumed, by full name."""

    def request(self) -> str:
        """Return the request that subscribes, on a new connection."""
        since = self._since or self.cursors
        request = {"op": "subscribe", "id": 1, "channels": self._channels} | (
            {"since": since} if since else {}
        )
        return msgspec.json.encode(request).decode()

    def receive(self, text: str | bytes) -> Message | None:
        """Take a message; return it unless it is an answer to a request.

        Raises:
            TemporaryError: the subscription must be repeated on another connection.
            PlantError: the API refuses the subscription.
        """
        try:
            message = _message.decode(text)
            control = _control.decode(text) if message.type in ("ack", "error") else None
        except msgspec.DecodeError as error:
            raise PlantError("malformed", f"the server sent no message of tickplant: {error}") from error
        if control is not None:
            self._take(message.type, control)
            return None
        if message.cursor:
            self.cursors[message.channel] = message.cursor
        return message if message.type != "pong" else None

    def _take(self, kind: str, control: Control) -> None:
        if kind == "error":
            error = TemporaryError if control.code == "unavailable" else PlantError
            raise error(control.code, control.message, control.near)
        if self._since:
            self.cursors = dict.fromkeys(control.channels, self._since)
            self._since = None
