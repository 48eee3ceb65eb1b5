"""Ranges of ids: first and last, both inclusive. Pure."""

from collections.abc import Iterable

IdRange = tuple[int, int]


def subtract_ranges(wanted: IdRange, held: Iterable[IdRange]) -> list[IdRange]:
    """Return the parts of a range that are in none of some others, ascending.

    Args:
        wanted: the range.
        held: ascending and apart.
    """
    low, last = wanted
    parts = []
    for held_low, held_high in held:
        if held_low > low:
            parts.append((low, min(held_low - 1, last)))
        low = max(low, held_high + 1)
        if low > last:
            break
    parts.append((low, last))
    return [part for part in parts if part[0] <= part[1]]


def intersect_ranges(part: IdRange, whole: IdRange) -> IdRange | None:
    """Return what of a range lies in another; None if nothing does."""
    low, high = max(part[0], whole[0]), min(part[1], whole[1])
    return (low, high) if low <= high else None


def merge_ranges(ranges: Iterable[IdRange], *, within: int) -> list[IdRange]:
    """Return ranges that hold all of some others, ascending; neighbours are joined where few ids hold both.

    Args:
        ranges: in any order; they may overlap.
        within: how many ids a range may hold that was joined.
    """
    joined: list[IdRange] = []
    for low, high in sorted(ranges):
        if joined and (low <= joined[-1][1] + 1 or high - joined[-1][0] < within):
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return joined


def count_ids(ranges: Iterable[IdRange]) -> int:
    """Count the ids in ranges."""
    return sum(high - low + 1 for low, high in ranges)
