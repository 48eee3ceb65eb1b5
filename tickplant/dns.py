"""Where a host is, by what the system asks."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tickplant.webhooks import Resolve


def resolver(threads: ThreadPoolExecutor) -> Resolve:
    """Return what asks the system where a host is, in threads of its own: name servers can be slow."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    return resolve
