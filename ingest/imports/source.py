"""What an import reads: files of trades of one symbol, by columns, in blocks that can be read in any order.

To add a source of trades, write a class with the shape of `TradeFile` (`ingest/imports/binance_csv.py` is
one), and pass instances of it to `maintenance.imports.import_file`. The import scans a file once, from its
start to its end, and stores nothing of it before the scan has found it whole. Then it reads the blocks with
ids that are not stored, from the last to the first where they are older than what is stored: so no gap opens
on the way.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from tickplant.errors import FatalError
from tickplant.kernel import TradeColumns
from tickplant.market import SymbolId


class FileError(FatalError):
    """A file can't be imported; the message names it, the line where there is one, and the reason."""


class Block(NamedTuple):
    """Some consecutive trades of a file; the ids of each block are above those of the one before."""

    number: int
    """Counts from 0."""
    first_id: int
    last_id: int
    trades: int
    """How many."""
    first_us: int
    """The earliest event time."""
    last_us: int
    """The latest event time."""


class TradeFile(Protocol):
    """A file of trades of one symbol of a venue with trade ids."""

    @property
    def symbol(self) -> SymbolId:
        """Whose trades they are."""

    @property
    def name(self) -> str:
        """Names the file in messages."""

    @property
    def start_us(self) -> int:
        """The time before which it has no trade, in microseconds since the epoch."""

    @property
    def end_us(self) -> int:
        """The time from which on it has none, likewise."""

    def close(self) -> None:
        """Release what it holds; called once, at the end."""

    def scan(self) -> Iterator[Block]:
        """Read and check everything; yield the blocks, of some 10,000 to 100,000 trades, ascending.

        Raises:
            FileError: it is damaged, or isn't what it should be.
        """

    def read(self, block: Block) -> TradeColumns:
        """Return the trades of a block of the last scan, in ascending order of id.

        Raises:
            FileError: as `scan`.
        """


def block_of(number: int, trades: TradeColumns) -> Block:
    """Return the block that some trades, at least one, in ascending order of id, make up."""
    times_us = trades.event_times_us
    return Block(
        number, trades.lowest_id, trades.highest_id, len(trades), min(times_us), trades.latest_time_us
    )
