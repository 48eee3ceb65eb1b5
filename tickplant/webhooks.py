"""Webhooks: allowed addresses, and how a body is written and signed.

Users who can set alerts can make this machine send requests. So a webhook goes to public addresses only, or
to those that the settings allow, and never to what only this machine's network can reach.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from tickplant.derived import Firing
from tickplant.errors import TickplantError
from tickplant.times import format_time

MAX_URL_CHARS: Final = 2048
SIGNATURE: Final = "Tickplant-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host and a port into addresses, or raises OSError."""

# Not reachable from everywhere, relays of 6to4, multicast and all that follows it. Source:
# https://www.iana.org/assignments/iana-ipv4-special-registry
_NOT_PUBLIC: Final = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    )
]
# All that is public lies in 2000::/3; in it these are not: Teredo and the IETF's, documentation, 6to4.
# Source: https://www.iana.org/assignments/iana-ipv6-special-registry
_PUBLIC_V6: Final = ip_network("2000::/3")
_NOT_PUBLIC_V6: Final = [
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_NAT64: Final = ip_network("64:ff9b::/96")
_HOST: Final = re.compile(r"([a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*\.?", re.ASCII | re.IGNORECASE)
"""The name of a host; one that ends with a number is an address."""

ALLOWED: Final = (
    "hosts, addresses or networks, such as hooks.internal, ::1 or 10.0.0.0/8 (no bits after its prefix),"
    " without http:// and port"
)
"""What `parse_allowed` takes, for messages."""


class WebhookSettings(NamedTuple):
    """How webhooks are delivered."""

    secret: str | None
    """Signs them; None: none are delivered."""
    allowed: Collection[str] = ()
    """Hosts and networks that are not public, and may be delivered to all the same."""
    attempts: int = 12
    """The most before one is given up."""
    max_age_s: float = 86_400.0
    """The age at which one is given up."""
    first_wait_s: float = 2.0
    """The longest wait after the first failed attempt; it doubles with each."""
    most_wait_s: float = 3600.0
    poll_s: float = 0.5
    """The time between checks for webhooks to deliver."""
    timeout_s: float = 10.0
    """The longest duration of an attempt; one without a result after twice that is repeated."""


class RefusedAddressError(TickplantError):
    """A webhook may not go there; the message says why."""


def parse_url(text: str) -> SplitResult:
    """Parse a webhook's address.

    Raises:
        RefusedAddressError: it is none, or holds what it must not.
    """
    if len(text) > MAX_URL_CHARS:
        raise RefusedAddressError(f"is longer than {MAX_URL_CHARS} characters")
    if not (text.isascii() and text.isprintable()) or " " in text or "\\" in text:
        raise RefusedAddressError(
            "holds a character that no address has: write it percent-encoded, or as xn--"
        )
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise RefusedAddressError(f"is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise RefusedAddressError("is not of the form https://host/path")
    if "@" in url.netloc:
        raise RefusedAddressError("holds a user or password: check the signature instead")
    return url


def port_of(url: SplitResult) -> int:
    """Return the port that an address means."""
    return url.port or (443 if url.scheme == "https" else 80)


def parse_allowed(text: str) -> str | Network:
    """Parse a host's name, an address or a network that is allowed.

    Raises:
        ValueError: it is none of them.
    """
    try:
        return ip_network(text)
    except ValueError as error:
        if _HOST.fullmatch(text):
            return text.lower().rstrip(".")
        raise ValueError(f"{text[:40]!r} is not allowed here; expected {ALLOWED}") from error


class AddressGuard:
    """Checks where webhooks may be sent."""

    def __init__(self, allowed: Iterable[str], resolve: Resolve) -> None:
        """Take the rules.

        Args:
            allowed: names of hosts, addresses and networks that webhooks may go to, though not public.
            resolve: asks the DNS.
        """
        rules = [parse_allowed(text) for text in allowed]
        self._names = {rule for rule in rules if isinstance(rule, str)}
        self._networks = [rule for rule in rules if not isinstance(rule, str)]
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, all of which a webhook may go to.

        The caller must connect to one of these, and not ask the DNS again: it may answer otherwise.

        Raises:
            RefusedAddressError: one of them is refused, or there is none.
        """
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise RefusedAddressError(f"{host} can't be resolved: {error.strerror or error}") from error
        except UnicodeError as error:
            raise RefusedAddressError(f"{host} is no name of a host") from error
        if not addresses:
            raise RefusedAddressError(f"{host} has no address")
        if host.lower().rstrip(".") not in self._names:
            for text in addresses:
                if not self._allows(ip_address(text)):
                    which = host if host == text else f"{host} ({text})"
                    raise RefusedAddressError(
                        f"{which} is not a public address: TICKPLANT_WEBHOOK_ALLOW may allow it"
                    )
        return addresses

    def _allows(self, address: Address) -> bool:
        return is_public(address) or any(_plain(address) in network for network in self._networks)


def is_public(address: Address) -> bool:
    """Return whether an address is public; an IPv6 address that maps an IPv4 address counts as that."""
    plain = _plain(address)
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in _NOT_PUBLIC)
    return plain in _PUBLIC_V6 and not any(plain in network for network in _NOT_PUBLIC_V6)


def _plain(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def body_of(firing: Firing) -> bytes:
    """Write what a webhook is sent, the same at every attempt."""
    document: dict[str, Any] = {
        "alert_id": firing.alert_id,
        "number": firing.number,
        "user": firing.user,
        "symbol": f"{firing.venue}:{firing.symbol}",
        "kind": firing.kind,
        "event_time": format_time(firing.event_time_us),
        "trade_id": firing.trade_id,
        "price": firing.price,
        "value": firing.value,
        "threshold": firing.threshold,
        "note": firing.note,
    }
    return msgspec.json.encode(document)


def headers_of(firing: Firing, body: bytes, *, secret: str, now_s: int) -> dict[str, str]:
    """Return the headers that a webhook is sent with.

    Args:
        firing: what is delivered.
        body: as sent.
        secret: shared with the receiver.
        now_s: the time of the attempt, seconds since the epoch.
    """
    return {
        "Content-Type": "application/json",
        "User-Agent": "tickplant",
        IDEMPOTENCY_KEY: f"{firing.alert_id}-{firing.number}",
        SIGNATURE: f"t={now_s},v1={sign(body, secret=secret, now_s=now_s)}",
    }


def sign(body: bytes, *, secret: str, now_s: int) -> str:
    """Return the signature of a body sent at a time: HMAC-SHA256, in hexadecimal digits."""
    return hmac.digest(secret.encode(), b"%d." % now_s + body, "sha256").hex()
