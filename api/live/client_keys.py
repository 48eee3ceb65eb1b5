"""Websocket clients and their API keys: the key in a message, and the end of clients without a valid one."""

import asyncio
from http import HTTPStatus
from typing import Final

from api.access.caller import ApiCaller
from api.access.middleware import Access
from api.http.problems import Problem
from api.live.client import FrameWriter
from api.live.protocol import CloseCode, ProtocolError
from api.live.session import ClientSession
from tickplant import metrics

AUTH_S: Final = 10.0
"""How long a client that needs an API key may take to send it."""


class UnauthorizedError(Exception):
    """The client has sent a key that is not valid."""


def identify(access: Access, key: str) -> ApiCaller:
    """Return whose key a client has sent in a message.

    Raises:
        UnauthorizedError: it is not valid.
        ProtocolError: that can't be determined now.
    """
    try:
        return access.identify(key)
    except Problem as problem:
        if problem.status == HTTPStatus.UNAUTHORIZED:
            raise UnauthorizedError(problem.detail) from None
        raise ProtocolError("unavailable", problem.detail) from None


def close_unauthorized(writer: FrameWriter, reason: str) -> None:
    """Close the connection of a client whose API key is missing, invalid or revoked."""
    metrics.API_DROPS.labels("unauthorized").inc()
    writer.close_now(CloseCode.UNAUTHORIZED, reason)


def require_key_soon(session: ClientSession, writer: FrameWriter) -> asyncio.TimerHandle:
    """Close a client that may not read, unless it sends a key in time."""

    def check() -> None:
        if not session.caller.may("read"):
            close_unauthorized(writer, f"no API key within {AUTH_S:g} s")

    return asyncio.get_running_loop().call_later(AUTH_S, check)
