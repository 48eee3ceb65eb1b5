"""Cursors: positions in a live stream, which clients store to resume there. Pure.

A cursor names a partition and how much of its live stream a client has: all updates before one, and the
messages of that one up to a number. The cursor of a history response may lie before updates whose trades are
in the response; it names the input entry up to which that is so, and trades up to that entry are skipped.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from tickplant.streams import START, entry_order

Order = tuple[int, int]
"""An entry id, comparable in the order of Redis."""

STREAM_START: Final[Order] = entry_order(START)
ALL: Final = 2**31
"""A message number greater than any: the whole update."""

_TEXT: Final = re.compile(r"(\d{1,4})\.(\d{1,19}-\d{1,19})(?:\.n(\d{1,9})|\.e(\d{1,19}-\d{1,19}))?", re.ASCII)


class Cursor(NamedTuple):
    """A position in a partition's live stream."""

    partition: int
    update: Order
    """The last update that the client has, up to message `number`."""
    number: int = ALL
    """The last message of that update that the client has."""
    stored: Order = STREAM_START
    """The input entry up to which the client has the trades from history."""

    def __str__(self) -> str:
        text = f"{self.partition}.{entry_text(self.update)}"
        if self.stored != STREAM_START:
            return f"{text}.e{entry_text(self.stored)}"
        return text if self.number == ALL else f"{text}.n{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse the text of a cursor.

        Raises:
            ValueError: it is not a cursor.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:60]!r} is not a cursor")
        partition, update, number, stored = match.groups()
        return cls(
            int(partition),
            entry_order(update),
            ALL if number is None else int(number),
            entry_order(stored or START),
        )


def parse_cursors(text: str) -> dict[int, Cursor]:
    """Parse cursors of several partitions, with commas between them.

    Raises:
        ValueError: one is no cursor.
    """
    return {cursor.partition: cursor for cursor in map(Cursor.parse, text.split(","))}


def join_cursors(cursors: Iterable[Cursor]) -> str:
    """Return the text of cursors of several partitions."""
    return ",".join(map(str, cursors))


def entry_text(order: Order) -> str:
    """Format an entry id as Redis does."""
    return f"{order[0]}-{order[1]}"
