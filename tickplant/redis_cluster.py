"""Redis Cluster: sends each command to the node that has its slot, over ordinary connections.

Nothing is sent twice. A refusal that means "ask another node" is an outage like any other: before the slot's
next exchange it is looked up again, and what the caller has in memory is void, which owners of partitions
expect of an outage. Exchanges with other slots don't wait for that. ADR 51 has why redis-py's own cluster
client is not used.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    ResponseError,
    TryAgainError,
)

from tickplant.errors import FatalError
from tickplant.redis_address import RedisAddress
from tickplant.redis_client import RedisClient, open_server
from tickplant.redis_errors import OUTAGE
from tickplant.redis_exchange import Command
from tickplant.redis_shards import Server, ShardedRedis, ShardUnavailableError
from tickplant.redis_slots import SLOTS, keys_of, slot_of
from tickplant.redis_topology import Node, SlotRange, parse_redirection, parse_shards, parse_slots

_ASK_S: Final = 2.0
"""How long a node may take to say which node has which slot."""


class RedisCluster(ShardedRedis):
    """A client of all nodes of a cluster."""

    def __init__(self, address: RedisAddress, *, wait_replicas: int = 0, **options: Any) -> None:
        """Take the addresses of some nodes, and redis-py's options."""
        super().__init__(**options)
        self._address = address
        self._options = options
        self.wait_replicas = wait_replicas
        self._nodes: dict[Node, RedisClient] = {}
        self._masters: list[Node | None] = [None] * SLOTS
        self._informant: Node | None = None
        """Who has answered the last lookup."""
        self._looking_up: asyncio.Task[None] | None = None

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        if self._looking_up is not None:
            self._looking_up.cancel()
        for client in self._nodes.values():
            await client.aclose()
        await super().aclose(close_connection_pool)

    async def servers(self) -> dict[str, RedisClient]:
        """Return a client of each master.

        Raises:
            ShardUnavailableError: no node answers.
        """
        await self._look_up(())
        return {str(node): self._nodes[node] for node in dict.fromkeys(self._masters) if node in self._nodes}

    def _server_of(self, key: str | bytes) -> Node | None:
        return self._masters[slot_of(key)]

    def _any_server(self) -> Node | None:
        return next((node for node in self._masters if node is not None), None)

    async def _send_to(self, server: Server | None, commands: Sequence[Command], *, write: bool) -> list[Any]:
        node = server if isinstance(server, Node) else None
        client = None if node is None else self._nodes.get(node)
        if node is None or client is None:
            self._forget(commands)
            raise ShardUnavailableError("no node of the cluster has the slot")
        try:
            answers = await self._ask(node, client, commands, write=write)
        except OUTAGE:
            self._forget(commands)
            raise
        except FatalError as error:  # a node that refuses the login, which another one accepts
            self._forget(commands)
            raise ShardUnavailableError(f"{node}: {error}") from error
        for index, answer in enumerate(answers):
            if isinstance(answer, MovedError):
                slot, master = parse_redirection(str(answer), node)
                self._masters[slot] = master
                if master is not None:
                    self._informant = master
                    self._client(master)
                answers[index] = ShardUnavailableError(f"{node}: slot {slot} has moved to {master or '?'}")
            elif isinstance(answer, ClusterDownError):
                self._forget(commands)
                answers[index] = ShardUnavailableError(f"{node}: the cluster is down: {answer}")
            elif isinstance(answer, AskError | TryAgainError):
                answers[index] = ShardUnavailableError(f"{node}: a slot is moving to another node: {answer}")
        return answers

    def _forget(self, commands: Iterable[Command]) -> None:
        """Look up the slots of commands again before the next exchange."""
        for command in commands:
            for key in keys_of(command):
                self._masters[slot_of(key)] = None

    async def _look_up(self, commands: Sequence[Command]) -> None:
        """Ask which node has which slot; concurrent callers share one lookup."""
        if self._looking_up is None or self._looking_up.done():
            self._looking_up = asyncio.create_task(self._ask_nodes())
            self._looking_up.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._looking_up)

    async def _ask_nodes(self) -> None:
        """Ask node after node until one answers: first who answered last, last those that are configured.

        One that is cut off from the others, or starts, doesn't know who has which slot now; it says that the
        cluster is down. It is believed only if all say so.

        Raises:
            ShardUnavailableError: none does.
            FatalError: each server is no node of a cluster, or refuses the login.
            NoPermissionError: each refuses to say it.
        """
        known = [self._informant] if self._informant else []
        asked = [*known, *self._nodes, *[Node(*host) for host in self._address.hosts]]
        reasons: list[str] = []
        refusals: list[Exception] = []
        doubtful: tuple[Node, list[SlotRange]] | None = None
        for node in dict.fromkeys(asked):
            try:
                async with asyncio.timeout(_ASK_S):
                    ranges, is_up = await self._read_slots(node)
            except (*OUTAGE, ResponseError, FatalError) as error:
                if isinstance(error, NoPermissionError | FatalError):
                    refusals.append(error)
                named = isinstance(error, ShardUnavailableError)
                reasons.append(str(error) if named else f"{node}: {error or type(error).__name__}")
                continue
            if ranges and is_up:
                await self._use(node, ranges)
                return
            if ranges:
                doubtful = doubtful or (node, ranges)
                continue
            reasons.append(
                f"{node}: no node has slots; redis-cli --cluster create HOST:PORT... makes a cluster"
            )
        if doubtful is None:
            if len(refusals) == len(reasons):
                raise refusals[0]
            raise ShardUnavailableError(f"no node of the cluster answers; {'; '.join(reasons)}")
        await self._use(*doubtful)

    async def _read_slots(self, node: Node) -> tuple[list[SlotRange], bool]:
        """Return what a node says of the slots, and whether it finds the cluster up."""
        client = self._client(node)
        answer, info = await self._ask(node, client, [("CLUSTER", "SHARDS"), ("CLUSTER", "INFO")])
        is_up = not isinstance(info, bytes) or b"cluster_state:fail" not in info
        if not isinstance(answer, ResponseError):
            return list(parse_shards(answer, node, tls=self._address.tls)), is_up
        if isinstance(answer, NoPermissionError):
            raise answer
        (answer,) = await client.exchange(("CLUSTER", "SLOTS"))  # before Redis 7
        return list(parse_slots(answer, node)), is_up

    async def _use(self, informant: Node, ranges: Sequence[SlotRange]) -> None:
        """Send by these ranges from now on; close the connections to nodes that have none."""
        self._informant = informant
        masters: list[Node | None] = [None] * SLOTS
        for first, last, master in ranges:
            masters[first : last + 1] = [master] * (last + 1 - first)
            self._client(master)
        self._masters = masters
        used = {row.master for row in ranges}
        for node in self._nodes.keys() - used:
            if node in self._hanging:
                self._hanging[node].cancel()
            await self._nodes.pop(node).aclose()

    def _client(self, node: Node) -> RedisClient:
        client = self._nodes.get(node)
        if client is None:
            url = self._address.node_url(*node)
            client = self._nodes[node] = open_server(url, "cluster", self._options, self.wait_replicas)
        return client
