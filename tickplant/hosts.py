"""Host names that a server answers to: the defence against DNS rebinding. Pure.

A page of another site can have its name resolve to this machine's address; its requests then pass for those
of this server's own page. They carry that name in the Host header, so a server that answers only to names it
knows is safe. An IP address in its place is no name that anybody could make resolve to somewhere else.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

ANY: Final = "*"
LOOPBACK: Final = ("localhost", "*.localhost")
"""Names that resolve to this machine by definition (RFC 6761)."""

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{0,5})?", re.ASCII | re.IGNORECASE)
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PATTERN: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.ASCII)

HOST_PATTERN: Final = (
    "example.org, *.example.org for its subdomains, or * for any host, without scheme, port and path"
)
"""What a host of the settings looks like, for messages."""


class Hosts:
    """The hosts that a server answers to, on any port: IP addresses, loopback names, named ones."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Take patterns as `parse_pattern` returns them."""
        known = {*LOOPBACK, *patterns}
        self._any = ANY in known
        self._names = frozenset(known)
        self._suffixes = tuple(pattern[1:] for pattern in known if pattern.startswith("*."))

    def admit(self, authority: str) -> bool:
        """Return whether to answer a request with this Host header, which may have a port."""
        if self._any:
            return True
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return False
        host = match[1].lower().removesuffix(".")
        return host in self._names or host.endswith(self._suffixes) or _is_address(host)


def parse_pattern(text: str) -> str:
    """Read a host of the settings: a name, `*.` and a name for its subdomains, or `*` for any.

    Raises:
        ValueError: it is something else, such as an address with a scheme or a port.
    """
    name = text.removesuffix(".").lower()
    if text == ANY or _is_address(name):
        return name
    if not name.isascii():
        name = name.encode("idna").decode()
    if _PATTERN.fullmatch(name) is None:
        raise ValueError(f"{text[:80]!r} is not a host name: write {HOST_PATTERN}")
    return name


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(host: str) -> bool:
    try:
        ip_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        return False
    return True
