"""Shares things out among processes, all of which get the same result without asking each other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar
from zlib import crc32

T = TypeVar("T")

MOST_SHARDS: Final = 1000
_SHARD: Final = re.compile(r"(0|[1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


class Shard(NamedTuple):
    """One of several processes that share things out by their numbers."""

    number: int
    """From 0."""
    total: int
    """How many processes there are."""

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parse `number/total`, such as 0/3.

        Raises:
            ValueError: the text is no shard.
        """
        match = _SHARD.fullmatch(text)
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or not shard.number < shard.total <= MOST_SHARDS:
            raise ValueError(
                "must be number/total, such as 0/3, 1/3 and 2/3 of three processes;"
                f" the total is up to {MOST_SHARDS}"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def fair_shares(owners: Sequence[str], items: Iterable[T]) -> Mapping[str, set[T]]:
    """Share items out by rendezvous hashing; the sizes of shares differ by one at most.

    An owner that joins or leaves moves its own items and few others. Source: Thaler and Ravishankar, "A
    Name-Based Mapping Scheme for Rendezvous" (1996).

    Args:
        owners: their names, at least one, in any order.
        items: different ones, in an order that all processes agree on; hashed as text.

    Returns:
        The items of each owner.
    """
    items = list(items)
    least, larger = divmod(len(items), len(owners))  # so many items each, and one more for so many owners
    shares: dict[str, set[T]] = {owner: set() for owner in owners}
    open_ = [(owner, crc32(owner.encode())) for owner in owners]
    for item in items:
        suffix = f"/{item}".encode()
        preferred = max(open_, key=lambda owner: (crc32(suffix, owner[1]), owner[0]))
        share = shares[preferred[0]]
        share.add(item)
        if len(share) >= least:
            larger -= len(share) > least
            most = least + (larger > 0)
            open_ = [owner for owner in open_ if len(shares[owner[0]]) < most]
    return shares
