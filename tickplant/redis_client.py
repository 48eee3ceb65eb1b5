"""Opens Redis by its address, and checks that tickplant can work on the server."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tickplant.errors import FatalError
from tickplant.redis_address import parse_redis_addresses
from tickplant.redis_errors import FORBIDDEN, redis_error
from tickplant.redis_exchange import Command, Exchanges

OLDEST_REDIS: Final = (6, 2)

_HINTS: Final = {
    "cluster": "it is a node of Redis Cluster: write redis+cluster:// instead of redis://",
    "sentinel": "it is a sentinel: write redis+sentinel://HOST:PORT,HOST:PORT/NAME",
    "standalone": "it is no node of Redis Cluster: write redis:// instead of redis+cluster://",
}
_WAIT_MS: Final = 2_000
"""How long a write waits for replicas."""
CONNECT_S: Final = 2.0
"""How long connecting may take where there are other servers to talk to."""
SHARD_TIMEOUT_S: Final = 3.0
"""How long an answer may take there: longer than writes wait for replicas, and reads for entries."""


class _Sending(AbstractConnection):
    """Connections of any kind that send without a task of its own for every command.

    The library's way, `asyncio.wait_for`, costs as much as the command itself, and before Python 3.12 it can
    swallow a cancellation, so that a cancelled task continues.

    A server that refuses the login, or that tickplant can't work on, ends the process: waiting does not help.
    """

    fits = False
    """Whether a connection of the client has found the server to be fit."""
    mode = "standalone"
    """In which the server has to run."""

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if self.is_connected:
            return
        try:
            await super().connect_check_health(check_health, retry_socket_connect)
            if not self.fits:
                await self._check_server()
        except BaseException as error:
            await self.disconnect(nowait=True)
            for refusal in (error, error.__cause__):  # the latter by a unix socket
                if isinstance(refusal, FORBIDDEN):
                    raise redis_error(refusal) from error
            raise

    async def _check_server(self) -> None:
        """Raise FatalError where the server is too old, or none that tickplant can work on."""
        await self.send_command("HELLO")  # which needs no right
        try:
            words: Any = await self.read_response()
        except ResponseError:  # such as while loading
            return
        fields = {bytes(name): value for name, value in zip(words[::2], words[1::2], strict=True)}
        version, mode = fields[b"version"].decode(), fields[b"mode"].decode()
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        oldest = ".".join(map(str, OLDEST_REDIS))
        if numbers and numbers < OLDEST_REDIS:
            raise FatalError(f"Redis {version} is too old: install version {oldest} or newer, or Valkey")
        if mode != self.mode:
            raise FatalError(
                f"the server in TICKPLANT_REDIS_URL runs in {mode} mode:"
                f" {_HINTS.get(mode, 'tickplant cannot work with it')}"
            )
        type(self).fits = True

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        parts = [command.encode()] if isinstance(command, str) else command
        parts = [parts] if isinstance(parts, bytes) else parts
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command(parts)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("timeout writing to Redis") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"error while writing to Redis: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)  # half a command may have gone out
            raise


class RedisClient(Redis):
    """redis-py's client, and exchanges that bypass its commands where they cost too much."""

    sharded = False
    """Whether keys are on several servers, of which some may be away."""

    sentinels: Sequence[Redis] = ()
    """Clients of those that name the master."""
    wait_replicas = 0
    """How many replicas must have what `try_write` writes."""

    def __init__(self, **options: Any) -> None:
        """Take redis-py's options."""
        super().__init__(**options)
        self._exchanges = Exchanges(self.connection_pool)

    async def exchange(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; see `Exchanges.exchange`.

        Raises:
            RedisError: also the first refusal among the answers.
        """
        answers = await self.try_exchange(*commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    async def try_exchange(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; refusals are among them, as exceptions.

        Raises:
            RedisError: Redis is unavailable; where keys are on several servers, all of them are, else the
                errors are among the answers.
        """
        return await self._exchanges.exchange(commands)

    async def try_write(self, *commands: Command) -> list[Any]:
        """Send commands as `try_exchange` does; return when enough replicas have what they wrote.

        Raises:
            RedisError: as `try_exchange`; also if too few replicas have acknowledged the writes in time.
        """
        if not self.wait_replicas:
            return await self.try_exchange(*commands)
        *answers, replicas = await self._exchanges.exchange(
            [*commands, ("WAIT", self.wait_replicas, _WAIT_MS)]
        )
        if isinstance(replicas, Exception):
            raise replicas
        if replicas < self.wait_replicas:
            raise RedisConnectionError(
                f"{replicas} of {self.wait_replicas} replicas have the trades after {_WAIT_MS / 1000:g} s:"
                " start the others, or lower TICKPLANT_REDIS_WAIT_REPLICAS"
            )
        return answers

    @property
    def shared(self) -> "RedisClient":
        """A client for keys that are no partition's."""
        return self

    async def servers(self) -> dict[str, "RedisClient"]:
        """Return a client of each server by name; of one server itself, without a name."""
        return {"": self}

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        self._exchanges.close()
        for sentinel in self.sentinels:
            await sentinel.aclose()
        await super().aclose(close_connection_pool)


def open_redis(
    url: str, *, timeout_s: float = 10.0, shard_timeout_s: float = SHARD_TIMEOUT_S, wait_replicas: int = 0
) -> RedisClient:
    """Return a client that connects on its first command.

    Commands are not retried behind the caller's back: whether a lost write may be repeated is the caller's
    to decide. Answers come as bytes.

    Args:
        url: an address as in `tickplant.redis_address`.
        timeout_s: longest wait for an answer, and for a connection; blocking reads must be shorter.
        shard_timeout_s: longest wait for an answer of one of several servers, or of a master that
            sentinels name, if that is less.
        wait_replicas: how many replicas must have what `try_write` writes.

    Raises:
        FatalError: the address is invalid.
    """
    try:
        addresses = parse_redis_addresses(url)
    except ValueError as error:
        raise FatalError(f"TICKPLANT_REDIS_URL: {error}") from error
    options = {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": 10_000,
    }
    address = addresses[0]
    one_of_several = options | {
        "socket_timeout": min(timeout_s, shard_timeout_s),
        "socket_connect_timeout": min(timeout_s, CONNECT_S),
    }
    if len(addresses) > 1:
        from tickplant.redis_servers import RedisServers

        return RedisServers(addresses, wait_replicas=wait_replicas, **one_of_several)
    if address.kind == "cluster":
        from tickplant.redis_cluster import RedisCluster

        return RedisCluster(address, wait_replicas=wait_replicas, **one_of_several)
    if address.kind == "sentinel":
        from tickplant.redis_sentinels import open_by_sentinels

        return open_by_sentinels(address, one_of_several, wait_replicas)
    return open_server(address.url, "standalone", options, wait_replicas)


def open_server(url: str, mode: str, options: dict[str, Any], wait_replicas: int) -> RedisClient:
    """Return a client of one server, which has to run in a mode, with redis-py's address and options.

    Raises:
        FatalError: an option in the address is invalid.
    """
    try:
        client: Any = RedisClient.from_url(url, **options)
    except (TypeError, ValueError) as error:
        raise FatalError(f"TICKPLANT_REDIS_URL: {error}") from error
    assert isinstance(client, RedisClient)
    client.wait_replicas = wait_replicas
    send_by(client.connection_pool, mode)
    return client


def send_by(pool: Any, mode: str) -> None:
    """Make a pool open connections of its kind that send as `_Sending` does."""
    pool.connection_class = type("Connection", (_Sending, pool.connection_class), {"mode": mode})
