"""Whether a venue can be reached from here."""

import asyncio
from typing import Final

from websockets.exceptions import InvalidStatus, WebSocketException

from ingest.connection import open_connection
from tickplant.network_errors import system_reason
from tickplant.proxies import Proxy

_REACH_S: Final = 4.0


async def unreachable(url: str, proxy: Proxy | None = None, *, any_answer: bool = False) -> str | None:
    """Return why a venue's websockets can't be reached; None if they can.

    Args:
        url: as ingest would open it.
        proxy: leads there.
        any_answer: whether a refusal will do, since the key is not shown.
    """
    try:
        async with asyncio.timeout(_REACH_S), open_connection(url, timeout_s=2 * _REACH_S, proxy=proxy):
            return None
    except InvalidStatus as error:
        return None if any_answer else str(error)
    except TimeoutError:
        through = f" through the proxy {proxy}" if proxy else ""
        return f"no answer{through} within {_REACH_S:g} s"
    except (OSError, WebSocketException) as error:
        return system_reason(error) or str(error) or type(error).__name__
