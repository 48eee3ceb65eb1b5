"""Redis on several servers: sends each command of an exchange to the server of its key, side by side.

A server that refuses costs no time, one that hangs costs a whole time limit. So nobody asks one that has not
answered in time, until it has answered a probe: meanwhile whatever is for it fails at once.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.redis_exchange import Command
from tickplant.redis_slots import keys_of

_log = logging.getLogger(__name__)

Server = Hashable


class ShardUnavailableError(RedisConnectionError):
    """The server of a key is away, or the key is moving to another one."""


class ShardedRedis(RedisClient):
    """A client of several servers, each of which has some keys."""

    sharded = True

    def __init__(self, **options: Any) -> None:
        """Take redis-py's options."""
        super().__init__(**options)
        self._hanging: dict[Server, asyncio.Task[None]] = {}
        """Servers that have not answered in time, each with its probe."""

    @abstractmethod
    def _server_of(self, key: str | bytes) -> Server | None:
        """Return the server of a key; None if it has to be looked up."""

    @abstractmethod
    def _any_server(self) -> Server | None:
        """Return a server for commands without a key; None if it has to be looked up."""

    @abstractmethod
    async def _look_up(self, commands: Sequence[Command]) -> None:
        """Look up where the keys of commands are.

        Raises:
            ShardUnavailableError: nobody says.
        """

    @abstractmethod
    async def _send_to(self, server: Server | None, commands: Sequence[Command], *, write: bool) -> list[Any]:
        """Send commands to one server; what means that a key is elsewhere is an outage.

        Raises:
            RedisTimeoutError: the server did not answer in time.
            ShardUnavailableError: it can't be reached, is known to hang, or is unknown.
        """

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        for probe in self._hanging.values():
            probe.cancel()
        await super().aclose(close_connection_pool)

    async def try_exchange(self, *commands: Command) -> list[Any]:
        """Send commands to the servers of their keys; see `RedisClient.try_exchange`."""
        return await self._send(commands, write=False)

    async def try_write(self, *commands: Command) -> list[Any]:
        """Send commands likewise; see `RedisClient.try_write`."""
        return await self._send(commands, write=True)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command, as redis-py's methods do."""
        (answer,) = await self.exchange((*args[0].split(), *args[1:]))
        options.pop("keys", None)  # for redis-py's cache
        callback = self.response_callbacks.get(args[0])
        return callback(answer, **options) if callback else answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """Refuse: an exchange does the same, and goes to several servers."""
        raise NotImplementedError("use exchange")

    async def _send(self, commands: Sequence[Command], *, write: bool) -> list[Any]:
        servers = list(self._route(commands))
        if None in servers:
            await self._look_up(commands)
            servers = list(self._route(commands))
        by_server: dict[Server | None, list[int]] = {}
        for index, server in enumerate(servers):
            by_server.setdefault(server, []).append(index)
        if len(by_server) == 1:
            return await self._send_to(servers[0], commands, write=write)
        parts = await asyncio.gather(
            *[
                self._send_to(server, [commands[index] for index in indexes], write=write)
                for server, indexes in by_server.items()
            ],
            return_exceptions=True,
        )
        answers: list[Any] = [None] * len(commands)
        failures = [part for part in parts if isinstance(part, BaseException)]
        for failure in failures:
            if not isinstance(failure, OUTAGE) or len(failures) == len(parts):
                raise failure
        for indexes, part in zip(by_server.values(), parts, strict=True):
            for position, index in enumerate(indexes):
                answers[index] = part if isinstance(part, BaseException) else part[position]
        return answers

    async def _ask(
        self, server: Server, client: RedisClient, commands: Sequence[Command], *, write: bool = False
    ) -> list[Any]:
        """Send commands by the client of a server, unless it hangs.

        Raises:
            RedisTimeoutError: it did not answer in time.
            ShardUnavailableError: it can't be reached, or is known to hang.
        """
        if server in self._hanging:
            raise ShardUnavailableError(f"{server}: it hangs")
        try:
            return await (client.try_write if write else client.try_exchange)(*commands)
        except RedisTimeoutError as error:
            if server not in self._hanging:
                self._hanging[server] = asyncio.create_task(self._probe(server, client))
            raise RedisTimeoutError(f"{server}: {error}") from error
        except OUTAGE as error:
            raise ShardUnavailableError(f"{server}: {error}") from error

    async def _probe(self, server: Server, client: RedisClient) -> None:
        """Wait until a server that hangs answers, whatever it says."""
        _log.warning("Redis: %s hangs: nothing else is sent to it until it answers", server)
        backoff = Backoff(first_s=0.05, cap_s=1.0)
        try:
            while True:
                try:
                    await client.try_exchange(("PING",))
                    break
                except OUTAGE:
                    await asyncio.sleep(backoff.next_s())
                except (RedisError, FatalError):  # a refusal is an answer
                    break
            _log.info("Redis: %s answers again", server)
        finally:
            del self._hanging[server]

    def _route(self, commands: Sequence[Command]) -> Iterator[Server | None]:
        """Yield the server of each command; one without keys goes where the others of its exchange go."""
        keys = [found[0] if (found := keys_of(command)) else None for command in commands]
        first = next((key for key in keys if key is not None), None)
        other = self._any_server() if first is None else self._server_of(first)
        for key in keys:
            yield other if key is None else self._server_of(key)
