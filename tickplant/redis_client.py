"""Opens Redis, and classifies its errors: unavailable, or unusable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeGuard, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.outage import OutageLog
from tickplant.provenance import SOURCE_DESCRIPTIONS, require_same
from tickplant.redis_exchange import Command, Exchanges
from tickplant.redis_values import RedisValues
from tickplant.streams import PARTITIONS, SOURCE

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_MOST_DIGITS: Final = 9

OLDEST_REDIS: Final = (6, 2)

OUTAGE: Final = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError)
"""Redis can't be reached or isn't ready; whether a command under way was carried out is unknown."""

_values: Final = RedisValues()

# KEYS: key. ARGV: its odd value, the value to write instead.
_REPLACE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""

_PASSING: Final = (
    OutOfMemoryError,
    ReadOnlyError,
    BusyLoadingError,
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
)
_FORBIDDEN: Final = (AuthenticationError, AuthenticationWrongNumberOfArgsError)
_NO_LOGIN: Final = ("HELLO must be called with the client already authenticated", "Authentication required")
_PASSING_WORDS: Final = (
    "MISCONF",
    "LOADING",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "UNBLOCKED",
)


class _Sending(AbstractConnection):
    """Connections of any kind that send without a task of its own for every command.

    The library's way, `asyncio.wait_for`, costs as much as the command itself, and before Python 3.12 it can
    swallow a cancellation, so that a cancelled task continues.

    A server that refuses the login, or that tickplant can't work on, ends the process: waiting does not help.
    """

    fits = False
    """Whether a connection of the client has found the server to be fit."""

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
                if isinstance(refusal, _FORBIDDEN):
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
        if mode != "standalone":
            raise FatalError(
                f"the server in TICKPLANT_REDIS_URL runs in {mode} mode, which tickplant can't work with:"
                " give the address of a Redis server with cluster-enabled no"
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

    def __init__(self, **options: Any) -> None:
        """Take redis-py's options."""
        super().__init__(**options)
        self._exchanges = Exchanges(self.connection_pool)

    async def exchange(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; see `Exchanges.exchange`.

        Raises:
            RedisError: also the first refusal among the answers.
        """
        answers = await self._exchanges.exchange(commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    async def try_exchange(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; refusals are among them, as exceptions.

        Raises:
            RedisError: Redis is unavailable.
        """
        return await self._exchanges.exchange(commands)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        self._exchanges.close()
        await super().aclose(close_connection_pool)


def open_redis(url: str, *, timeout_s: float = 10.0) -> RedisClient:
    """Return a client that connects on its first command.

    Commands are not retried behind the caller's back: whether a lost write may be repeated is the caller's
    to decide. Answers come as bytes.

    Args:
        url: redis:// or unix:// address; valkey:// is taken for redis://.
        timeout_s: longest wait for an answer, and for a connection; blocking reads must be shorter.
    """
    client: Any = RedisClient.from_url(
        url.replace("valkey://", "redis://", 1),
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=10_000,
    )
    assert isinstance(client, RedisClient)
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_Sending, pool.connection_class), {})
    return client


async def agree_on_partitions(redis: RedisClient, partitions: int) -> None:
    """Make sure that all processes on this Redis count the same partitions; the first one decides.

    Raises:
        FatalError: another number is in use.
    """
    agreed = await _agree(redis, PARTITIONS, str(partitions), parse_partitions)
    if agreed is not None and agreed != partitions:
        raise FatalError(
            f"TICKPLANT_PARTITIONS is {partitions}, but what is in Redis was written with {agreed}:"
            " set the same number everywhere"
        )


def parse_partitions(payload: bytes) -> int:
    """Return the number of partitions that is recorded in Redis.

    Raises:
        ValueError: it is no such number.
    """
    if not payload.isdigit() or len(payload) > _MOST_DIGITS or int(payload) == 0:
        raise ValueError(f"{payload[:40]!r} is no number of partitions")
    return int(payload)


async def claim_redis_source(redis: RedisClient, source: str) -> None:
    """Note where the trades come from that are going to be written, before the first of them is.

    Raises:
        MixedSourcesError: Redis holds trades from elsewhere.
    """
    require_same(await _agree(redis, SOURCE, source, _parse_source), source, where="Redis")


async def read_redis_source(redis: RedisClient) -> str | None:
    """Return the source of the trades in the streams; None if none is recorded yet, or none that is known."""
    try:
        held: Any = await redis.get(SOURCE)
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        _values.note_refused(SOURCE, error)
        return None
    return _values.read(SOURCE, "", held, _parse_source)


def _parse_source(payload: bytes) -> str:
    source = str(payload, "utf-8", "replace")
    if source not in SOURCE_DESCRIPTIONS:
        raise ValueError(f"{source[:40]!r} is no source of trades")
    return source


async def _agree(redis: RedisClient, key: str, value: str, parse: Callable[[bytes], _T]) -> _T | None:
    """Write a value unless there is one already, and return what is there then.

    A value that `parse` refuses is replaced. None if the key holds another type: it is left alone.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.set(key, value, nx=True)  # its option GET needs Redis 7
        pipeline.get(key)
        for answer in (answers := await pipeline.execute(raise_on_error=False)):
            if isinstance(answer, ResponseError) and is_wrong_type(answer):
                _values.note_refused(key, answer)
                return None
            if isinstance(answer, Exception):
                raise answer
    held: Any = answers[-1]
    agreed = _values.read(key, "", held, parse)
    if agreed is None:
        replaced: Any = await redis.eval(_REPLACE, 1, key, held or b"", value)
        agreed = parse(replaced)
    return agreed


async def retry_until_available(attempt: Callable[[], Awaitable[Any]]) -> Any:
    """Make an attempt again and again until Redis answers.

    Args:
        attempt: makes one try; it may be repeated though an earlier one was carried out.

    Raises:
        RedisError: one that waiting does not resolve.
    """
    backoff = Backoff(first_s=0.05, cap_s=2.0)
    outage = OutageLog(_log, "Redis is unavailable, retrying", "Redis is available again")
    while True:
        try:
            result = await attempt()
        except (*OUTAGE, RedisError) as error:
            if not is_transient(error):
                raise
            outage.note_failure(error)
            await asyncio.sleep(backoff.next_s())
        else:
            outage.note_success()
            return result


def is_transient(error: BaseException) -> bool:
    """Return whether waiting may resolve an error: an outage, a full memory or disk, a loading server."""
    if isinstance(error, _FORBIDDEN):
        return False
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, ResponseError | RedisError) and str(error).startswith(_PASSING_WORDS)


def is_wrong_type(error: BaseException) -> TypeGuard[ResponseError]:
    """Return whether a key holds another type than tickplant writes; this concerns that key only."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def redis_error(error: BaseException) -> FatalError:
    """Return the message for an error of Redis that ends the process, with how to fix it."""
    if isinstance(error, _FORBIDDEN):
        if str(error).startswith(_NO_LOGIN):
            remedy = "give them in TICKPLANT_REDIS_URL: redis://USER:PASSWORD@HOST:PORT/0, or redis://:PASSWORD@..."
            return FatalError(f"Redis refuses the login: it asks for a user or a password; {remedy}")
        remedy = "check the user and the password in TICKPLANT_REDIS_URL"
        return FatalError(f"Redis refuses the login: {error}; {remedy}")
    if isinstance(error, NoPermissionError):
        remedy = "let an administrator run: acl setuser NAME ~* &* +@all -@admin -@dangerous"
        return FatalError(f"the Redis user lacks a right: {error}; {remedy}")
    if is_transient(error):
        remedy = "start the server, or check TICKPLANT_REDIS_URL"
        return FatalError(f"Redis can't be reached: {error or type(error).__name__}; {remedy}")
    return FatalError(f"Redis refuses: {error}; see the server's log")
