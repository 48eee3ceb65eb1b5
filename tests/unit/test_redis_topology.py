"""Which node of Redis Cluster is asked and believed, and where it says that others are."""

from typing import Any

import pytest

from tickplant.redis_address import parse_redis_address
from tickplant.redis_cluster import RedisCluster
from tickplant.redis_slots import SLOTS
from tickplant.redis_topology import Node, SlotRange, parse_redirection, parse_shards

ASKED = Node("10.0.0.1", 7000)
NAMED = ("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)
ADDRESS = parse_redis_address("redis+cluster://" + ",".join(f"{host}:{port}" for host, port in NAMED))


def shard(**node: Any) -> list[Any]:
    row = {"port": 7001, "ip": b"10.0.0.9", "role": b"master", "health": b"online", **node}
    words = [word for name, value in row.items() for word in (name.encode(), value)]
    return [b"slots", [0, 5], b"nodes", [words]]


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (b"node.example", "node.example"),
        (b"10.0.0.9", "10.0.0.9"),
        (b"", ASKED.host),
        (None, ASKED.host),
        (b"?", "10.0.0.9"),
    ],
    ids=["name", "address", "unknown", "null", "name-not-set"],
)
def test_a_node_is_where_its_endpoint_says(endpoint: bytes | None, host: str) -> None:
    (found,) = parse_shards([shard(endpoint=endpoint)], ASKED, tls=False)
    assert found == SlotRange(0, 5, Node(host, 7001))


@pytest.mark.parametrize(
    ("address", "node"),
    [
        ("10.0.0.9:7001", Node("10.0.0.9", 7001)),
        ("[::1]:7001", Node("::1", 7001)),
        (":7001", Node(ASKED.host, 7001)),
        ("?:7001", None),
    ],
)
def test_a_redirection_names_a_node_or_none(address: str, node: Node | None) -> None:
    assert parse_redirection(f"3999 {address}", ASKED) == (3999, node)


def shards(master: Node) -> list[Any]:
    row = shard(endpoint=master.host.encode(), port=master.port)
    row[1] = [0, SLOTS - 1]
    return [row]


class Asked:
    """In place of a node's client."""

    def __init__(self, believes: Node, state: str) -> None:
        self._answers = [shards(believes), f"cluster_state:{state}\r\n".encode()]

    async def try_exchange(self, *_: object) -> list[Any]:
        return self._answers

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("states", "believed"),
    [
        (("ok", "ok", "ok"), 0),
        (("fail", "ok", "ok"), 1),
        (("fail", "fail", "ok"), 2),
        (("fail", "fail", "fail"), 0),
    ],
)
async def test_a_node_that_is_cut_off_is_believed_only_if_all_are(
    states: tuple[str, ...], believed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [Node(*host) for host in NAMED]
    clients = {node: Asked(node, state) for node, state in zip(nodes, states, strict=True)}
    monkeypatch.setattr(RedisCluster, "_client", lambda _, node: clients[node])
    async with RedisCluster(ADDRESS) as cluster:
        await cluster._look_up([("GET", "a")])
        assert cluster._server_of("a") == nodes[believed]
        monkeypatch.setattr(clients[nodes[0]], "_answers", Asked(nodes[0], "ok")._answers)
        await cluster._look_up([("GET", "a")])
        assert cluster._server_of("a") == nodes[believed]  # who answered last is asked first
