"""Addresses of Redis, as TICKPLANT_REDIS_URL has them. Pure."""

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

Kind = Literal["server", "cluster", "sentinel"]

SCHEMES: Final[tuple[str, ...]] = (
    "redis://",
    "rediss://",
    "valkey://",
    "unix://",
    "redis+cluster://",
    "rediss+cluster://",
    "redis+sentinel://",
    "rediss+sentinel://",
)
"""Those that messages name; with valkey instead of redis each is the same."""

_PORTS: Final[dict[Kind, int]] = {"server": 6379, "cluster": 6379, "sentinel": 26379}
_EXAMPLES: Final[dict[Kind, str]] = {
    "server": "redis://HOST:6379/0",
    "cluster": "redis+cluster://HOST:6379,HOST:6379",
    "sentinel": "redis+sentinel://HOST:26379,HOST:26379/NAME",
}
_BASES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}


_NEXT: Final = re.compile(r"\s*,\s*(?=[a-z+]+://)", re.IGNORECASE)
"""Between the addresses of several servers."""


class RedisAddress(NamedTuple):
    """Where Redis is."""

    kind: Kind
    tls: bool
    login: str
    """User and password as in an address, with the @; empty without."""
    hosts: tuple[tuple[str, int], ...]
    """Of the server; of some nodes of the cluster; of the sentinels. None for a unix socket."""
    database: int
    service: str
    """What the sentinels call the master."""
    query: str
    """Options of redis-py, such as `ssl_ca_certs`, with the question mark; empty without."""
    url: str
    """The whole, for redis-py, with its own schemes."""

    def node_url(self, host: str, port: int) -> str:
        """Return the address of one server for redis-py, with the same login and options."""
        shown = f"[{host}]" if ":" in host else host
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{self.login}{shown}:{port}/{self.database}{self.query}"


def parse_redis_addresses(text: str) -> tuple[RedisAddress, ...]:
    """Parse one address, or those of several servers, with commas between them.

    Raises:
        ValueError: one is wrong, or of no server; see `parse_redis_address`.
    """
    addresses = tuple(map(parse_redis_address, _NEXT.split(text.strip())))
    if len(addresses) > 1 and any(address.kind != "server" for address in addresses):
        raise ValueError(
            "of several addresses, each must be of one server: redis://HOST:PORT,redis://HOST:PORT"
        )
    return addresses


def parse_redis_address(text: str) -> RedisAddress:
    """Parse an address.

    Raises:
        ValueError: it is none; the message says what is wrong, and shows no password.
    """
    scheme, separator, rest = text.partition("://")
    base, _, suffix = scheme.lower().partition("+")
    kinds: dict[str, Kind] = {"": "server", "cluster": "cluster", "sentinel": "sentinel"}
    if not separator or base not in _BASES or suffix not in kinds or (base == "unix" and suffix):
        raise ValueError(f"an address of Redis begins with {', '.join(SCHEMES)}")
    kind = kinds[suffix]
    base = _BASES[base]
    if base == "unix":
        return RedisAddress(kind, False, "", (), 0, "", "", f"unix://{rest}")
    rest, mark, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    parsed = tuple(_parse_host(host.strip(), kind) for host in hosts.split(","))
    if kind == "server" and len(parsed) > 1:
        raise ValueError(
            "redis:// takes one host; several are redis+cluster://HOST:PORT,HOST:PORT for Redis Cluster,"
            " redis+sentinel://HOST:PORT,HOST:PORT/NAME for Sentinel,"
            " redis://HOST:PORT,redis://HOST:PORT for several servers"
        )
    service, database = _parse_path(path, kind)
    login += at
    host, port = parsed[0]
    url = f"{base}://{login}{f'[{host}]' if ':' in host else host}:{port}/{database}{mark}{query}"
    return RedisAddress(kind, base == "rediss", login, parsed, database, service, mark + query, url)


def _parse_host(text: str, kind: Kind) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path or parts.username is not None or re.search(r"[#\s]", text):
        what = "a host is missing" if not text.strip() else "a host or a port is invalid"
        hint = "; in a user and a password, write %3A for :, %2F for /, %40 for @, %2C for ,"
        raise ValueError(f"{what}: expected {_EXAMPLES[kind]}{hint if text.strip() else ''}")
    return unquote(host), _PORTS[kind] if port is None else port


def _parse_path(path: str, kind: Kind) -> tuple[str, int]:
    """Return the name of the sentinels' master, and the number of the database."""
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    service = ""
    if kind == "sentinel":
        if not parts:
            raise ValueError(f"the name of the master is missing: expected {_EXAMPLES[kind]}")
        service = parts.pop(0)
    if len(parts) > 1 or (parts and not (parts[0].isascii() and parts[0].isdigit())):
        raise ValueError(f"what follows the host is no number of a database: expected {_EXAMPLES[kind]}")
    database = int(parts[0]) if parts else 0
    if kind == "cluster" and database:
        raise ValueError("Redis Cluster has database 0 only: leave the number out of the address")
    return service, database
