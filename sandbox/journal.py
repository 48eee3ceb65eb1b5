"""A generated market's journal on disk, from which it continues after a restart, with its history.

Trading is divided into runs. A line is written, and is on the disk, before the first trade of its run is
sent: it holds all that the run follows from, so that it can be generated again after a kill, sent or not.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace


class MarketState(Struct, frozen=True, array_like=True):
    """The state of a symbol's market."""

    ticks: int
    """Its price, in units of the last decimal place."""
    next_id: int


class TradingRun(Struct, frozen=True, kw_only=True):
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
    """The state of each symbol that ever traded, before the first of them."""

    @property
    def end_us(self) -> int:
        """When the trade after the last one would be due."""
        return self.due_us(self.count or 0)

    def due_us(self, number: int) -> int:
        """Return when a trade is due, counted from 0."""
        return self.start_us + int(number * 1e6 / self.rate)


class _Cut(Struct, frozen=True):
    """The run before it ended early, after so many trades."""

    cut: int


_encode = msgspec.json.encode
_decode_cut = msgspec.json.Decoder(_Cut).decode
_decode_run = msgspec.json.Decoder(TradingRun).decode


class Journal:
    """The runs of one venue.

    Args:
        path: its file.
        kept: how many trades, at least, the runs that are kept hold.
    """

    def __init__(self, path: Path, *, kept: int) -> None:
        self._path = path
        self._kept = kept
        self._written = 0

    def has_dropped(self, runs: Sequence[TradingRun]) -> bool:
        """Return whether runs before these, which have been read, may have been dropped."""
        return sum(run.count or 0 for run in runs) >= self._kept

    def read(self) -> list[TradingRun]:
        """Return the newest runs, oldest first, and drop the others from the file."""
        runs: list[TradingRun] = []
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        for line in lines[:-1]:  # the last one was not written whole, so its run never started
            try:
                if line.startswith(b'{"cut"'):
                    runs[-1] = replace(runs[-1], count=_decode_cut(line).cut)
                else:
                    runs.append(_decode_run(line))
            except (msgspec.DecodeError, IndexError):
                continue
        runs = self._newest(runs)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        new.write_bytes(b"".join(_encode(run) + b"\n" for run in runs))
        new.replace(self._path)
        self._written = sum(run.count or 0 for run in runs)
        return runs

    def write_start(self, run: TradingRun) -> None:
        """Write a run to disk; afterwards its trades may be sent."""
        if self._written > 2 * self._kept:
            self.read()
        self._written += run.count or 0
        self._append(_encode(run))

    def write_end(self, count: int) -> None:
        """Note that the last run has ended after so many trades."""
        self._append(_encode(_Cut(count)))

    def _newest(self, runs: Sequence[TradingRun]) -> list[TradingRun]:
        trades = 0
        for first in range(len(runs) - 1, -1, -1):
            trades += runs[first].count or 0
            if trades >= self._kept:
                return list(runs[first:])
        return list(runs)

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
