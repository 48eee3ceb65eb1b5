"""Sends webhook requests, to checked addresses only.

It follows no redirects, uses no proxy from the environment, and reads only the status of a response.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore

from tickplant.webhooks import AddressGuard, RefusedAddressError
from workers.outbox import FailedError, GoneError

_CONNECT_S: Final = 3.0  # a host may have an address that doesn't answer before one that does


class Sender:
    """Sends requests to addresses that the guard allows."""

    def __init__(
        self, guard: AddressGuard, *, timeout_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        """Take the rules.

        Args:
            guard: decides where requests may go.
            timeout_s: how long an attempt may take, the DNS included.
            tls: the certificates to trust; None: the system's.
        """
        self._timeout_s = timeout_s
        # No connection is reused: each delivery resolves its host and checks the address again.
        self._pool = httpcore.AsyncConnectionPool(
            tls, network_backend=_CheckedBackend(guard), max_connections=None, max_keepalive_connections=0
        )

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Deliver a body.

        Raises:
            FailedError: it was not accepted, as far as is known.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
            ):
                status = response.status
        except TimeoutError:
            raise FailedError(f"no answer within {self._timeout_s:g} s") from None
        except RefusedAddressError as error:
            raise FailedError(str(error)) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise FailedError(f"{type(error).__name__}: {error}"[:300]) from None
        if 300 <= status < 400:
            raise FailedError(f"status {status}: redirects are not followed")
        if status == 410:
            raise GoneError("status 410: gone")
        if not 200 <= status < 300:
            raise FailedError(f"status {status}")

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the guard has returned; TLS still verifies the host name."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that accepts a connection."""
        refusal: Exception | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._plain.connect_tcp(address, port, _CONNECT_S, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refusal = error
        assert refusal is not None
        raise refusal

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)
