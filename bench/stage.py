"""What a stage is given, and what it is."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from bench.children import run_module
from bench.frames import FrameFiles
from bench.in_memory import InMemoryRates
from bench.peers.measure import PeerCost, PeerError, measure_go
from bench.plant import BenchPlant
from bench.results import Reference, Result, Skip
from bench.sizes import Sizes

GO: Final = "Go aggregator"
"""The reference's name in the tables."""

T = TypeVar("T")


class Bench:
    """What all stages of a benchmark share.

    Args:
        sizes: how much to measure.
        frames: makes frames.
        quick: whether the figures are not meant to be used; then nothing is built or installed.
        peers: whether to install peers that need an environment of their own.
    """

    def __init__(self, sizes: Sizes, frames: FrameFiles, *, quick: bool, peers: bool) -> None:
        self.sizes = sizes
        self.frames = frames
        self.quick = quick
        self.peers = peers
        self.skipped: dict[str, Skip] = {}
        self._plant: BenchPlant | None = None
        self._measured: dict[str, Any] = {}

    @property
    def plant(self) -> BenchPlant:
        """The servers; only stages that ask for them have any."""
        assert self._plant is not None
        return self._plant

    @plant.setter
    def plant(self, plant: BenchPlant) -> None:
        self._plant = plant

    def start_run(self) -> None:
        """Start another run: everything is measured again."""
        self._measured = {}

    async def once(self, what: str, measure: Callable[["Bench"], Awaitable[T]]) -> T:
        """Measure something that several stages need, once a run."""
        if what not in self._measured:
            self._measured[what] = await measure(self)
        measured: T = self._measured[what]
        return measured

    def skip(self, what: str, reason: str) -> None:
        """Record and print that something is not measured, once."""
        if what not in self.skipped:
            self.skipped[what] = Skip(what, reason)
            print(f"skipped: {what}: {reason}", flush=True)

    async def in_memory(self, symbols: int) -> InMemoryRates:
        """Measure the implementations of the path from frames."""
        return await self.once(f"in memory, {symbols}", partial(_measure_in_memory, symbols=symbols))

    async def go_cost(self, symbols: int) -> PeerCost | None:
        """Measure the Go aggregator; None where it can't be built."""
        return await self.once(f"go, {symbols}", partial(_measure_go, symbols=symbols))

    async def go_reference(self, symbols: int) -> tuple[Reference, ...]:
        """Return the Go aggregator's CPU a trade in microseconds, if there is one."""
        cost = await self.go_cost(symbols)
        return () if cost is None else (Reference(GO, cost.cpu_us),)


async def _measure_in_memory(bench: Bench, symbols: int) -> InMemoryRates:
    path = await bench.frames.get(bench.sizes.in_memory_trades, symbols)
    return msgspec.json.decode(await run_module("bench.in_memory", str(path)), type=InMemoryRates)


async def _measure_go(bench: Bench, symbols: int) -> PeerCost | None:
    path = await bench.frames.get(bench.sizes.in_memory_trades, symbols)
    try:
        return await measure_go(path, build=not bench.quick)
    except PeerError as error:
        bench.skip(GO, str(error))
        return None


class Stage(NamedTuple):
    """One stage of the benchmark."""

    summary: str
    """For the help."""
    measure: Callable[[Bench], Awaitable[list[Result]]]
    needs_plant: bool = True
