"""Several servers of Redis, each with some partitions; what is no partition's is on the first one.

The first server says which partition is where, in the hash `partition_servers`; nothing else decides it, so
that the order of the other addresses, and new ones among them, move no partition. See ADR 55.
"""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ResponseError

from tickplant.errors import FatalError
from tickplant.former_keys import FORMER_COUNT, parse_former_count
from tickplant.place_scripts import BEGIN, JOIN, PLACE
from tickplant.redis_address import RedisAddress
from tickplant.redis_client import RedisClient, open_server
from tickplant.redis_errors import OUTAGE, is_wrong_type
from tickplant.redis_exchange import Command
from tickplant.redis_shards import Server, ShardedRedis, ShardUnavailableError
from tickplant.redis_slots import keys_of
from tickplant.streams import PARTITIONS, SERVERS, trades_stream
from tickplant.taken_keys import REMEDY

_log = logging.getLogger(__name__)

MOVING: Final = " > "
"""Between the servers that a partition is moving from and to."""
MOVED: Final = b"moved"
"""In place of each key of a partition that has moved: who still reads or writes there is refused."""
_MARK_TYPE: Final = b"string"
"""What TYPE says of it."""

_STREAMS: Final = trades_stream(0).replace("0", "*")
_PARTITION: Final = re.compile(rb"\{(\d{1,9})\}$")


class RedisServers(ShardedRedis):
    """A client of several servers."""

    def __init__(self, addresses: Sequence[RedisAddress], *, wait_replicas: int = 0, **options: Any) -> None:
        """Take the addresses, the first one first, and redis-py's options."""
        super().__init__(**options)
        self._clients = {
            name_of(address): open_server(address.url, "standalone", options, wait_replicas)
            for address in addresses
        }
        if len(self._clients) < len(addresses):
            raise FatalError("TICKPLANT_REDIS_URL: an address is there twice")
        self.names = tuple(self._clients)
        """What servers are called, in the order of the addresses."""
        self.first = self.names[0]
        """The name of the server that has what is no partition's."""
        self._places: dict[int, str] = {}
        self._agreed = False
        self._to_join = set(self.names[1:])
        """Servers that may not know which is the first."""

    @property
    def shared(self) -> RedisClient:
        """A client of the first server."""
        return self._clients[self.first]

    async def servers(self) -> dict[str, RedisClient]:
        """Return a client of each server by name."""
        return dict(self._clients)

    def client_of(self, name: str) -> RedisClient:
        """Return the client of one server.

        Raises:
            FatalError: TICKPLANT_REDIS_URL doesn't name it.
        """
        if name not in self._clients:
            raise FatalError(
                f"a partition is on {name}, which TICKPLANT_REDIS_URL does not name: name the same servers"
                " everywhere, the first one first"
            )
        return self._clients[name]

    async def places(self, partitions: int) -> dict[int, str]:
        """Return the server of each partition; of one that is moving, both, with `MOVING` between.

        Raises:
            ShardUnavailableError: the first server is away.
        """
        numbers = range(partitions)
        command = (PLACE, 1, SERVERS, len(self.names), *self.names, *numbers)
        first, *found = await self._ask_first(command) or [""]
        if not first:
            await self._begin()
            first, *found = await self._ask_first(command)
        self._check_first(first)
        await self._join()
        self._agreed = True
        return dict(zip(numbers, found, strict=True))

    async def _ask_first(self, command: Command) -> list[str]:
        (answer,) = await self._ask(self.first, self.shared, [command])
        if isinstance(answer, Exception):
            if not is_wrong_type(answer):
                raise answer
            raise FatalError(
                f"the key {SERVERS} on {self.first} holds what another program has written: {REMEDY}"
            ) from answer
        return [word.decode(errors="replace") for word in answer or ()]

    async def _begin(self) -> None:
        """Write where partitions are for the first time; those that a server has stay there.

        Raises:
            FatalError: another server has a plant, of which this is not the first server.
            ShardUnavailableError: a server is away, which may have some.
        """
        held: list[Any] = []
        lost = False
        for name, client in self._clients.items():
            if name == self.first:
                continue
            try:
                noted, alone, former = await client.try_exchange(
                    ("HGET", SERVERS, "first"), ("EXISTS", PARTITIONS), ("GET", FORMER_COUNT)
                )
                if isinstance(noted, bytes):
                    self._check_first(noted.decode(errors="replace"))
                    lost = True
                elif alone == 1 or parse_former_count(former):
                    raise _another_plant(name)
                async for key in client.scan_iter(_STREAMS, count=1_000, _type="stream"):
                    if (number := _partition_of(key)) is not None:
                        held += number, name
            except OUTAGE as error:
                raise ShardUnavailableError(
                    f"{name}: {error}; where partitions are is written when all servers are there"
                ) from error
        if lost:
            _log.warning(
                "Redis: %s has lost where partitions are: those that other servers have stay there",
                self.first,
            )
        keys = (SERVERS, PARTITIONS, FORMER_COUNT)
        await self._ask_first((BEGIN, len(keys), *keys, self.first, int(lost or bool(held)), *held))

    def _check_first(self, first: str) -> None:
        if first != self.first:
            raise FatalError(
                f"TICKPLANT_REDIS_URL: the first address must be that of {first}, not of {self.first}"
            )

    async def _join(self) -> None:
        """Note on all other servers which is the first: nobody is to take one of them for it.

        Raises:
            FatalError: one of them is another plant's.
        """
        for name in sorted(self._to_join):
            with suppress(*OUTAGE):
                command = (JOIN, 2, SERVERS, PARTITIONS, self.first)
                (first,) = await self._ask(name, self._clients[name], [command])
                if first is None:
                    raise _another_plant(name)
                if isinstance(first, bytes):  # not where another program's key refuses it
                    self._check_first(first.decode(errors="replace"))
                self._to_join.discard(name)

    def forget(self, partition: int) -> None:
        """Look up where a partition is before the next exchange."""
        self._places.pop(partition, None)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        await super().aclose(close_connection_pool)

    def _server_of(self, key: str | bytes) -> Server | None:
        partition = _partition_of(key)
        if partition is None:
            return self._any_server()
        return self._places.get(partition)

    def _any_server(self) -> Server | None:
        return self.first if self._agreed else None

    async def _look_up(self, commands: Sequence[Command]) -> None:
        keys = [key for command in commands for key in keys_of(command)[:1]]
        numbers = {number for key in keys if (number := _partition_of(key)) is not None}
        for number, place in (await self.places(max(numbers, default=-1) + 1)).items():
            if MOVING not in place:
                self.client_of(place)  # raises for one that is not named
                self._places[number] = place

    async def _send_to(self, server: Server | None, commands: Sequence[Command], *, write: bool) -> list[Any]:
        if server is None:
            raise ShardUnavailableError(
                "a partition is moving to another server: wait, or run `tickplant partitions list`"
            )
        client = self.client_of(str(server))
        answers = await self._ask(server, client, commands, write=write)
        for index, answer in enumerate(answers):
            if isinstance(answer, ResponseError) or answer == _MARK_TYPE:
                number = _partition_of(next(iter(keys_of(commands[index])), ""))
                if number is not None and await _has_moved(client, number, answer):
                    self.forget(number)
                    answers[index] = ShardUnavailableError(f"partition {number} is no longer on {server}")
        return answers


def name_of(address: RedisAddress) -> str:
    """Return what a server is called in the hash `partition_servers`, and to users: no login is in it."""
    if not address.hosts:
        return address.url
    ((host, port),) = address.hosts
    database = f"/{address.database}" if address.database else ""
    return f"{f'[{host}]' if ':' in host else host}:{port}{database}"


def _another_plant(name: str) -> FatalError:
    return FatalError(
        f"TICKPLANT_REDIS_URL: {name} has a plant of its own: if it is this one, its address must be the"
        f" first; if it is no longer used, delete what is there, with the key {PARTITIONS}"
    )


def _partition_of(key: str | bytes) -> int | None:
    """Return the partition of a key; None for one that is no partition's."""
    match = _PARTITION.search(key.encode() if isinstance(key, str) else key)
    return int(match[1]) if match else None


async def _has_moved(client: RedisClient, partition: int, answer: Any) -> bool:
    """Return whether an answer is one by the server that a partition has left."""
    if isinstance(answer, Exception) and not (
        is_wrong_type(answer) or str(answer).startswith(("NOGROUP", "UNBLOCKED", "FENCED"))
    ):
        return False
    (mark,) = await client.try_exchange(("GET", trades_stream(partition)))
    return isinstance(mark, bytes) and mark == MOVED
