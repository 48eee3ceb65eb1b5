"""Which node of Redis Cluster has which slot, as the nodes say. Pure.

Source: https://redis.io/docs/latest/commands/cluster-shards/ and …/cluster-slots/
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class SlotRange(NamedTuple):
    """Slots of one master."""

    first: int
    last: int
    master: Node


def parse_shards(answer: Any, asked: Node, *, tls: bool) -> Iterator[SlotRange]:
    """Yield the ranges in an answer to CLUSTER SHARDS, of masters that are not known to be down.

    Args:
        answer: as the server gives it.
        asked: who has answered; a node that doesn't know its own address is at the same host.
        tls: whether connections use TLS, which has ports of its own.
    """
    for shard in map(_fields, answer):
        nodes = [_fields(node) for node in shard[b"nodes"]]
        masters = [node for node in nodes if node[b"role"] == b"master"]
        up = [node for node in masters if node.get(b"health", b"online") != b"fail"]
        for node in up[:1]:
            # Empty: at the host that was asked. A question mark: a name is to be used that is not set.
            endpoint = node.get(b"endpoint")
            host = _host(node.get(b"ip") if endpoint == b"?" else endpoint, asked)
            port = node.get(b"tls-port" if tls else b"port") or node.get(b"port")
            if port is None:
                continue
            bounds = shard[b"slots"]
            for first, last in zip(bounds[::2], bounds[1::2], strict=True):
                yield SlotRange(int(first), int(last), Node(host, int(port)))


def parse_slots(answer: Any, asked: Node) -> Iterator[SlotRange]:
    """Yield the ranges in an answer to CLUSTER SLOTS, which is as old as Redis Cluster."""
    for first, last, master, *_ in answer:
        yield SlotRange(int(first), int(last), Node(_host(master[0], asked), int(master[1])))


def parse_redirection(text: str, asked: Node) -> tuple[int, Node | None]:
    """Return the slot and the node of a refusal MOVED or ASK: `3999 127.0.0.1:6381`; no node for `?:6381`.

    Raises:
        ValueError: it is none.
    """
    slot, _, address = text.partition(" ")
    host, _, port = address.rpartition(":")
    if host == "?":
        return int(slot), None
    return int(slot), Node(_host(host.strip("[]").encode(), asked), int(port))


def _fields(answer: Any) -> dict[bytes, Any]:
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _host(payload: bytes | None, asked: Node) -> str:
    return asked.host if payload in (None, b"", b"?") else payload.decode()
