"""The address of a client, and the limit of open connections of each."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from api.http.problems import RETRY_AFTER_S, Problem


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address of the client, as a trusted proxy names it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def counted_address(address: str) -> str | None:
    """Return what is counted as one client; None for what is not limited: programs of this machine.

    Args:
        address: as a trusted proxy names it, so perhaps no IP address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return None
    if isinstance(parsed, IPv6Address):  # one client has as many addresses as it likes
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed)


class ConnectionLimit:
    """Counts the open connections of each address in this process: websockets and streams of events."""

    def __init__(self, per_address: int) -> None:
        """Take the most connections of one address."""
        self._per_address = per_address
        self._open: Counter[str] = Counter()

    @contextmanager
    def counted(self, scope: Mapping[str, Any]) -> Iterator[None]:
        """Count the connection of a request during the context.

        Raises:
            Problem: its address has as many as it may.
        """
        address = counted_address(address_of(scope))
        if address is None:
            yield
            return
        if self._open[address] >= self._per_address:
            raise Problem(
                429,
                "too_many_connections",
                f"{address} has {self._per_address} connections, the limit of one address: close some, or"
                " subscribe to several channels over one; the limit is"
                " TICKPLANT_API_MAX_CLIENTS_PER_ADDRESS, and TICKPLANT_API_PROXIES names proxies, whose"
                " clients are then counted one by one",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
