"""Name resolution by the system's resolver, off the event loop."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tickplant.webhooks import Resolve


def threaded_resolver(threads: ThreadPoolExecutor) -> Resolve:
    """Return a function that resolves host names in threads of its own, as name servers can be slow."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    return resolve
