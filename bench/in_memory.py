"""Measures the implementations of the path from frames, in a process of its own: one core, no I/O.

`python -m bench.in_memory FILE` prints `InMemoryRates` as JSON.
"""

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bench.frames import read_frames
from bench.implementations import IMPLEMENTATIONS
from tickplant.errors import FatalError

_REPEATS: Final = 3


class InMemoryRates(Struct, frozen=True):
    """Trades a second of CPU time, at best of three."""

    decode: float
    """Bare msgspec, a frame a call; the result is dropped."""
    fold: Mapping[str, float]
    """By the name of the implementation."""
    encode: Mapping[str, float]


class _Payload(Struct, gc=False):
    e: str
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Envelope(Struct, gc=False):
    data: _Payload


def decode_frames(frames: Sequence[bytes]) -> None:
    """Decode and drop."""
    decode = msgspec.json.Decoder(_Envelope).decode
    for frame in frames:
        decode(frame)


def best_rate(count: int, work: Callable[[], object]) -> float:
    """Return how many trades a second of CPU time takes, at best."""
    best_s = float("inf")
    for _ in range(_REPEATS):
        gc.collect()
        started_s = time.process_time()
        work()
        best_s = min(best_s, time.process_time() - started_s)
    return count / best_s


def measure(frames: Sequence[bytes]) -> InMemoryRates:
    """Measure everything on the same frames.

    Raises:
        FatalError: two implementations give different candles.
    """
    count = len(frames)
    _check_candles(frames)
    return InMemoryRates(
        decode=best_rate(count, partial(decode_frames, frames)),
        fold={name: best_rate(count, partial(path.fold, frames)) for name, path in IMPLEMENTATIONS.items()},
        encode={
            name: best_rate(count, partial(path.encode, frames)) for name, path in IMPLEMENTATIONS.items()
        },
    )


def _check_candles(frames: Sequence[bytes]) -> None:
    (first, reference), *others = IMPLEMENTATIONS.items()
    expected = dict(reference.fold(frames))
    for name, implementation in others:
        if dict(implementation.fold(frames)) != expected:
            raise FatalError(f"the candles of {name} differ from those of {first}")


def main() -> None:
    """Print the rates."""
    sys.stdout.buffer.write(msgspec.json.encode(measure(read_frames(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
