"""Redis on several servers: sends each command of an exchange to the server of its key, side by side."""

import asyncio
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.redis_exchange import Command
from tickplant.redis_slots import keys_of

Server = Hashable


class ShardUnavailableError(RedisConnectionError):
    """The server of a key is away, or the key is moving to another one."""


class ShardedRedis(RedisClient):
    """A client of several servers, each of which has some keys."""

    sharded = True

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
            ShardUnavailableError: the server can't be reached, or it is unknown.
        """

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

    def _route(self, commands: Sequence[Command]) -> Iterator[Server | None]:
        """Yield the server of each command; one without keys goes where the others of its exchange go."""
        keys = [found[0] if (found := keys_of(command)) else None for command in commands]
        first = next((key for key in keys if key is not None), None)
        other = self._any_server() if first is None else self._server_of(first)
        for key in keys:
            yield other if key is None else self._server_of(key)
