"""A generated market's journal on disk: what lets it go on after any end, with the past that it had.

Trading is cut into stretches. A line is written, and is on the disk, before the first trade of its stretch is
sent: it holds all that the stretch follows from, so that it can be generated again after a kill, sent or not.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace


class MarketState(Struct, frozen=True, array_like=True):
    """Where a symbol's market stands."""

    ticks: int
    """Its price, in units of the last decimal place."""
    next_id: int


class Stretch(Struct, frozen=True, kw_only=True):
    """A run of trades, due at even intervals."""

    seed: str
    symbols: tuple[str, ...]
    """Those that trade, the first most."""
    rate: float
    """Trades a second, all symbols together."""
    start_us: int
    """When the first trade is due, microseconds since the epoch."""
    count: int | None
    """How many trades; None: without end."""
    markets: dict[str, MarketState]
    """Where each symbol that ever traded stands before the first of them."""

    @property
    def end_us(self) -> int:
        """When the trade after the last one would be due."""
        return self.due_us(self.count or 0)

    def due_us(self, number: int) -> int:
        """Return when a trade is due, counted from 0."""
        return self.start_us + int(number * 1e6 / self.rate)


class _Cut(Struct, frozen=True):
    """The stretch before it ended early, after so many trades."""

    cut: int


_encode = msgspec.json.encode
_decode_cut = msgspec.json.Decoder(_Cut).decode
_decode_stretch = msgspec.json.Decoder(Stretch).decode


class Journal:
    """The stretches of one venue.

    Args:
        path: its file.
        kept: how many trades, at least, the stretches that are kept hold.
    """

    def __init__(self, path: Path, *, kept: int) -> None:
        self._path = path
        self._kept = kept
        self._written = 0

    def read(self) -> list[Stretch]:
        """Return the newest stretches, oldest first, and forget the others."""
        stretches: list[Stretch] = []
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        for line in lines[:-1]:  # what follows the last end of a line was not written whole, so never begun
            try:
                if line.startswith(b'{"cut"'):
                    stretches[-1] = replace(stretches[-1], count=_decode_cut(line).cut)
                else:
                    stretches.append(_decode_stretch(line))
            except (msgspec.DecodeError, IndexError):
                continue
        stretches = self._newest(stretches)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        new.write_bytes(b"".join(_encode(stretch) + b"\n" for stretch in stretches))
        new.replace(self._path)
        self._written = sum(stretch.count or 0 for stretch in stretches)
        return stretches

    def begin(self, stretch: Stretch) -> None:
        """Write a stretch down; afterwards its trades may be sent."""
        if self._written > 2 * self._kept:
            self.read()
        self._written += stretch.count or 0
        self._append(_encode(stretch))

    def end(self, count: int) -> None:
        """Note that the last stretch has ended after so many trades."""
        self._append(_encode(_Cut(count)))

    def _newest(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        trades = 0
        for first in range(len(stretches) - 1, -1, -1):
            trades += stretches[first].count or 0
            if trades >= self._kept:
                return list(stretches[first:])
        return list(stretches)

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
