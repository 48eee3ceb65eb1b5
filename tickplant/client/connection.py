"""Follows a subscription over websockets: connects, reconnects and resumes."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tickplant.backoff import Backoff
from tickplant.client.errors import PlantError, TemporaryError, error_of_response
from tickplant.client.messages import Message
from tickplant.client.subscription import ChannelSubscription

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 10.0
_UNAUTHORIZED: Final = 3000
"""The close code for an API key that is missing or not valid."""

logger = logging.getLogger(__name__)


def new_backoff() -> Backoff:
    """Return the waits between tries to reach the API."""
    return Backoff(first_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S)


async def follow(
    url: str, headers: dict[str, str], subscription: ChannelSubscription
) -> AsyncGenerator[Message, None]:
    """Yield all messages of a subscription, whatever happens to connections; never ends.

    Raises:
        PlantError: the API refuses the subscription, the key or the address.
    """
    backoff = new_backoff()
    connected = True
    while True:
        try:
            async with connect(url, additional_headers=headers, max_size=None, close_timeout=1) as socket:
                await socket.send(subscription.request())
                while True:
                    message = subscription.receive(await socket.recv())
                    if message is not None:
                        backoff.reset()
                        connected = True
                        yield message
        except (OSError, WebSocketException, TemporaryError) as error:
            _check_temporary(error)
            if connected:
                logger.warning("no connection to %s: %s; trying again", url, error)
            connected = False
        await asyncio.sleep(backoff.next_s())


def _check_temporary(error: Exception) -> None:
    """Raise what trying again does not change."""
    if isinstance(error, InvalidStatus):
        response = error_of_response(error.response.status_code, bytes(error.response.body or b""))
        if not isinstance(response, TemporaryError):
            raise response from error
    if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code == _UNAUTHORIZED:
        raise PlantError("unauthorized", error.rcvd.reason or "the API key is not valid") from error
    if isinstance(error, ssl.SSLCertVerificationError):
        raise PlantError("unreachable", f"the API's certificate is not trusted: {error}") from error
