"""Cursors: places in what is live, as clients keep them. Pure.

A cursor names a partition and how much of its live stream a client has: all updates before one, and of that
one the messages up to a number. A cursor that comes with history lies before updates whose trades the history
holds already; it names the input entry up to which that is so, and trades of those entries are left out.
"""

import re
from typing import Final, NamedTuple

from tickplant.streams import START, entry_order

Order = tuple[int, int]
"""An entry id, so that ids compare as Redis orders them."""

BEGIN: Final[Order] = entry_order(START)
ALL: Final = 2**31
"""A message number greater than any: the whole update."""

_TEXT: Final = re.compile(r"(\d{1,4})\.(\d{1,19}-\d{1,19})(?:\.n(\d{1,9})|\.e(\d{1,19}-\d{1,19}))?", re.ASCII)


class Cursor(NamedTuple):
    """A place in a partition's live stream."""

    partition: int
    update: Order
    """The live entry up to which the client has everything, but for `number`."""
    number: int = ALL
    """The last message of that update that the client has."""
    stored: Order = BEGIN
    """The input entry up to which the client has the trades from elsewhere."""

    def __str__(self) -> str:
        text = f"{self.partition}.{entry_text(self.update)}"
        if self.stored != BEGIN:
            return f"{text}.e{entry_text(self.stored)}"
        return text if self.number == ALL else f"{text}.n{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `str` wrote.

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


def entry_text(order: Order) -> str:
    """Write an entry id as Redis does."""
    return f"{order[0]}-{order[1]}"
