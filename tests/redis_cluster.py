"""A Redis Cluster of six servers on loopback: three masters with a replica each."""

import asyncio
import random
import shutil
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from servers import REDIS, free_ports
from working import until

from tickplant.local.binaries import RedisBinary
from tickplant.redis_slots import SLOTS

NODE_TIMEOUT_MS = 1_000
CALM_CLUSTER = ("cluster-node-timeout 60000",)
"""Lines for a cluster whose masters stay what they are, also if one gets no CPU for a second."""


class ClusterNode:
    """One server of a cluster."""

    def __init__(
        self, folder: Path, binary: RedisBinary, ports: tuple[int, int], lines: Sequence[str] = ()
    ) -> None:
        self.port, self.bus_port = ports
        self._folder = folder
        self._binary = binary
        self._lines = lines
        self.process: Process | None = None
        self.client = Redis(port=self.port, socket_timeout=5)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        configuration = self._folder / "redis.conf"
        configuration.write_text(
            f'bind 127.0.0.1\nport {self.port}\ndir "{self._folder}"\nsave ""\nappendonly yes\n'
            f"appendfsync everysec\ncluster-enabled yes\ncluster-port {self.bus_port}\n"
            f"cluster-node-timeout {NODE_TIMEOUT_MS}\ncluster-require-full-coverage no\n"
            "cluster-migration-barrier 5\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
            + "".join(f"{line}\n" for line in self._lines)
        )
        self.process = await create_subprocess_exec(
            self._binary.path, configuration, stdout=DEVNULL, stderr=DEVNULL
        )
        await until(self._answers, "the node answers")

    async def kill(self) -> None:
        assert self.process is not None
        if self.running:
            self.process.kill()
        await self.process.wait()

    async def _answers(self) -> bool:
        with suppress(RedisError, OSError):
            return bool(await self.client.ping())
        return False

    async def ask(self, *words: Any) -> Any:
        return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]


class Shard(NamedTuple):
    """Some servers of a cluster that have the same slots."""

    nodes: Sequence[ClusterNode]
    slots: set[int]


class Cluster:
    """The servers; the test kills masters and moves slots."""

    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    async def form(self) -> None:
        """Make a cluster of the new nodes: the first half of them are masters, each with a replica.

        `redis-cli --cluster create` fails where nodes agree only some time later, as on a busy machine.
        """
        masters, replicas = self.nodes[:3], self.nodes[3:]
        ids = [(await node.ask("CLUSTER", "MYID")).decode() for node in self.nodes]
        for number, node in enumerate(self.nodes):
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(masters):
            first, after = (SLOTS * part // len(masters) for part in (number, number + 1))
            await node.ask("CLUSTER", "ADDSLOTSRANGE", first, after - 1)

        async def have_met() -> bool:
            known = [(await node.ask("CLUSTER", "NODES")).decode() for node in self.nodes]
            for each, node in zip(ids, self.nodes, strict=True):
                if each not in known[0]:  # a handshake that takes long is forgotten
                    await self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
            return all(each in text for each in ids for text in known)

        await until(have_met, "the nodes have met")
        for each, replica in zip(ids, replicas, strict=False):
            await replica.ask("CLUSTER", "REPLICATE", each)

    async def masters(self) -> list[ClusterNode]:
        """Return the running masters that have slots, as most recently agreed."""
        found = [node for node in self.nodes if node.running and (await self._me(node))["slots"]]
        return [node for node in found if "master" in (await self._me(node))["flags"]]

    async def is_whole(self) -> bool:
        """Return whether all running nodes agree that every slot has a master, and each master a replica."""
        for node in self.nodes:
            if not node.running:
                return False
            try:
                info = (await node.ask("CLUSTER", "INFO")).decode()
            except (RedisError, OSError):
                return False
            if f"cluster_state:ok\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS}" not in info:
                return False
        masters = await self.masters()
        for master in masters:
            role = await master.ask("ROLE")
            if not role[2]:
                return False
        return len(masters) == 3

    async def fail_over(self, rng: random.Random) -> ClusterNode:
        """Kill a master, wait until its replica has taken over, and start it again as a replica."""
        master = rng.choice(await self.masters())
        slots = (await self._me(master))["slots"]
        await master.kill()

        async def taken_over() -> bool:
            for node in self.nodes:
                if node.running and (await self._me(node))["slots"] == slots:
                    return "master" in (await self._me(node))["flags"]
            return False

        await until(taken_over, "a replica has taken over", timeout_s=60)
        await master.start()
        await until(self.is_whole, "the cluster is whole again", timeout_s=60)
        return master

    async def move_slot(self, slot: int, rng: random.Random) -> None:
        """Move a slot with all its keys to another master, as `redis-cli --cluster reshard` does."""
        masters = await self.masters()
        ids = {node: (await node.ask("CLUSTER", "MYID")).decode() for node in masters}
        (source,) = [node for node in masters if slot in await self._slots(node)]
        target = rng.choice([node for node in masters if node is not source])
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        while keys := await source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            # The target may have an old copy: that of a replica that was promoted before it had deleted the
            # keys of a slot that had moved away.
            await source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "REPLACE", "KEYS", *keys)
            await asyncio.sleep(rng.uniform(0, 0.02))
        for node in (target, source, *[each for each in masters if each not in (source, target)]):
            await node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        await until(self.is_whole, "the cluster is whole again", timeout_s=60)

    async def kill_shard(self, slot: int) -> "Shard":
        """Kill the master of a slot, and its replica."""
        (master,) = [node for node in await self.masters() if slot in await self._slots(node)]
        slots = await self._slots(master)
        role = await master.ask("ROLE")
        replicas = [node for node in self.nodes if str(node.port).encode() in [row[1] for row in role[2]]]
        for node in (*replicas, master):
            await node.kill()
        return Shard([master, *replicas], slots)

    async def close(self) -> None:
        for node in self.nodes:
            await node.kill()
            await node.client.aclose()

    async def _slots(self, node: ClusterNode) -> set[int]:
        found: set[int] = set()
        for part in (await self._me(node))["slots"]:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
        return found

    async def _me(self, node: ClusterNode) -> dict[str, Any]:
        try:
            text: bytes = await node.ask("CLUSTER", "NODES")
        except (RedisError, OSError):
            return {"flags": "", "slots": []}
        for line in text.decode().splitlines():
            words = line.split()
            if "myself" in words[2]:
                return {"flags": words[2], "slots": [word for word in words[8:] if not word.startswith("[")]}
        return {"flags": "", "slots": []}


@asynccontextmanager
async def running_cluster(folder: Path, lines: Sequence[str] = ()) -> AsyncIterator[Cluster]:
    """Run a cluster of the first Redis or Valkey that can; skips the test where there is none."""
    # Older ones can't choose their second port, which is 10,000 above the first.
    binary = next((binary for version, binary in REDIS.items() if version >= "Redis 7"), None)
    if binary is None:
        pytest.skip("a cluster needs Redis 7 or Valkey")
    folder.mkdir()  # noqa: ASYNC240 - it is quick
    ports = free_ports(12)
    cluster = Cluster(
        [
            ClusterNode(folder / str(number), binary, both, lines)
            for number, both in enumerate(zip(ports[:6], ports[6:], strict=True))
        ]
    )
    try:
        for node in cluster.nodes:
            await node.start()
        await cluster.form()
        await until(cluster.is_whole, "the cluster is whole", timeout_s=60)
        yield cluster
    finally:
        await cluster.close()
        shutil.rmtree(folder)
