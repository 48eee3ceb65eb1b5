"""Suggests names similar to an unknown one, at a bounded cost. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import pairwise
from typing import Final

LONGEST: Final = 64
"""Characters of the longest name that others are compared with: the cost rises with their square."""
COMPARED: Final = 64
"""The most names that are compared letter by letter: those that share the most pairs of letters."""


class NearNames:
    """Names, indexed to find those similar to a text."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take names in lower case."""
        self._pairs = {name: _pairs(name) for name in names}

    def find(self, text: str, *, most: int, cutoff: float = 0.6) -> list[str]:
        """Return the names nearest to a text, the nearest first; none for a text of more than `LONGEST`."""
        if len(text) > LONGEST:
            return []
        text = text.lower()
        pairs, known = _pairs(text), self._pairs
        likely = nlargest(COMPARED, known, key=lambda name: len(pairs & known[name]))
        return get_close_matches(text, likely, n=most, cutoff=cutoff)


def nearest(text: str, names: Iterable[str]) -> str | None:
    """Return the name of a few that is nearest to a text, if any is near."""
    return next(iter(NearNames(names).find(text, most=1)), None)


def _pairs(text: str) -> frozenset[str]:
    return frozenset(map("".join, pairwise(text)))
