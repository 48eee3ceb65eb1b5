"""The proxy for an address, by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Venues are reached through them, by websockets as by HTTP. Loopback and hosts with a bare name, as containers
have, never are. A variable in lower case wins over the same in upper case.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from msgspec import Struct

from tickplant.errors import SettingsError

_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS: Final = {"http": 80, "https": 443}


class Proxy(Struct, frozen=True):
    """An HTTP proxy; as text without its password."""

    url: str
    """Whole, with user and password, if it has them."""
    variable: str
    """Which one names it."""

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.variable})"


class Proxies:
    """The proxies of an environment."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read the variables.

        Args:
            environment: the variables; None takes the process's own.
        """
        values = os.environ if environment is None else environment
        self._values: dict[str, tuple[str, str]] = {}
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            for spelt in (name, name.upper()):
                if value := values.get(spelt, "").strip():
                    self._values.setdefault(name, (spelt, value))

    def of(self, url: str) -> Proxy | None:
        """Return the proxy on the way to an address; None if there is none.

        Raises:
            SettingsError: the variable that counts for it is none that can be used.
        """
        parts = urlsplit(url)
        scheme = _SCHEMES[parts.scheme]
        variable, value = self._values.get(f"{scheme}_proxy") or self._values.get("all_proxy") or ("", "")
        host, port = parts.hostname or "", parts.port or _PORTS[scheme]
        if not value or is_local(host) or self._is_excepted(host, port):
            return None
        return Proxy(_usable(variable, value, host), variable)

    def _is_excepted(self, host: str, port: int) -> bool:
        _, value = self._values.get("no_proxy", ("", ""))
        return any(_fits(host, port, word.lower()) for word in value.replace(",", " ").split())


def is_local(host: str) -> bool:
    """Return whether a host is this machine, or has a bare name, as containers have."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.rstrip(".").endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _fits(host: str, port: int, word: str) -> bool:
    """Return whether an entry of NO_PROXY matches: `*`, a domain, an address or a network, or one's port."""
    try:
        return ip_address(host) in ip_network(word.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, its_port = word.rpartition(":")
    if colon and its_port.isdecimal():
        if int(its_port) != port:
            return False
        word = name.strip("[]")
    word = word.lstrip("*").lstrip(".")
    return not word or host == word or host.endswith(f".{word}")


def _usable(variable: str, value: str, host: str) -> str:
    problem = f"{variable}: not the address of an HTTP proxy, such as http://proxy.example:3128"
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        port = parts.port
    except ValueError as error:
        raise SettingsError([problem]) from error
    if parts.scheme.startswith("socks"):
        raise SettingsError(
            [
                f"{variable}: SOCKS proxies are not supported: set HTTPS_PROXY to an HTTP proxy,"
                f" or add {host} to NO_PROXY to reach it directly"
            ]
        )
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SettingsError([problem])
    shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{_user(parts)}{shown}:{port or _PORTS[parts.scheme]}"


def _user(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    return f"{quote(parts.username, safe='%')}:{quote(parts.password or '', safe='%')}@"
