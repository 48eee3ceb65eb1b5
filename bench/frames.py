"""The market that is measured with: synthetic trades of many symbols, as Binance's frames.

`python -m bench.frames COUNT SYMBOLS RATE FILE` writes frames to a file, one a line.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.children import run_module
from sandbox.frames import payload_of
from sandbox.generator import generate, name_symbols

SYMBOLS: Final = 100
RATE: Final = 10_000
"""Trades a second by exchange time, all symbols together."""
SEED: Final = 1
_FEW: Final = 10_000
"""So many trades are generated at once; more would keep Ctrl-C waiting."""


class FrameFiles:
    """Files of frames, each made once.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, count: int, symbols: int = SYMBOLS, rate: float = RATE) -> Path:
        """Return the file with the frames of so many trades."""
        path = self._folder / f"frames-{count}-{symbols}-{rate:g}"
        if not path.exists():
            if count <= _FEW:
                write_frames(count, symbols, rate, path)
            else:
                await run_module("bench.frames", str(count), str(symbols), str(rate), str(path))
        return path


def read_frames(path: Path) -> list[bytes]:
    """Return the frames in a file."""
    return path.read_bytes().splitlines()


def write_frames(count: int, symbols: int, rate: float, path: Path) -> None:
    """Generate trades, and write their frames to a file."""
    tape = generate(name_symbols(symbols), count, rate=rate, seed=SEED)
    with path.open("wb") as file:
        for position in range(count):
            file.write(bytes(payload_of(tape.frames(position, position + 1))) + b"\n")


def tape_arguments(count: int, symbols: int = SYMBOLS) -> list[str]:
    """Return the arguments by which the sandbox plays such trades as fast as they are taken."""
    market = ["--symbol-count", str(symbols), "--rate", str(RATE), "--seed", str(SEED)]
    return [*market, "--count", str(count), "--speed", "max", "--hold"]


def main(arguments: Sequence[str]) -> None:
    """Write the file."""
    write_frames(int(arguments[0]), int(arguments[1]), float(arguments[2]), Path(arguments[3]))


if __name__ == "__main__":
    main(sys.argv[1:])
