"""Whether a venue can be reached from here."""

import asyncio
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

_REACH_S: Final = 4.0


async def unreachable(url: str) -> str | None:
    """Return why a venue's websockets can't be reached; None if they can."""
    try:
        async with asyncio.timeout(_REACH_S), connect(url + "/ws", open_timeout=None):
            return None
    except TimeoutError:
        return f"no answer within {_REACH_S:g} s"
    except (OSError, WebSocketException) as error:
        return str(error) or type(error).__name__
