"""Ranges of ids: first and last, both inclusive. Pure."""

from collections.abc import Iterable

IdRange = tuple[int, int]


def subtract_ranges(wanted: IdRange, stored: Iterable[IdRange]) -> list[IdRange]:
    """Return the parts of a range outside of other ranges, ascending.

    Args:
        wanted: the range.
        stored: the other ranges, ascending and disjoint.
    """
    low, last = wanted
    parts = []
    for stored_low, stored_high in stored:
        if stored_low > low:
            parts.append((low, min(stored_low - 1, last)))
        low = max(low, stored_high + 1)
        if low > last:
            break
    parts.append((low, last))
    return [part for part in parts if part[0] <= part[1]]


def intersect_ranges(part: IdRange, whole: IdRange) -> IdRange | None:
    """Return the intersection of two ranges; None if it is empty."""
    low, high = max(part[0], whole[0]), min(part[1], whole[1])
    return (low, high) if low <= high else None


def merge_ranges(ranges: Iterable[IdRange], *, within: int) -> list[IdRange]:
    """Merge ranges that overlap, adjoin, or fit into a short range together; return them ascending.

    Args:
        ranges: in any order; may overlap.
        within: the length up to which two separate ranges are merged.
    """
    merged: list[IdRange] = []
    for low, high in sorted(ranges):
        if merged and (low <= merged[-1][1] + 1 or high - merged[-1][0] < within):
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def count_ids(ranges: Iterable[IdRange]) -> int:
    """Return the number of ids in ranges."""
    return sum(high - low + 1 for low, high in ranges)
