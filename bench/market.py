"""The market that is measured with: generated trades of many symbols, as frames."""

from typing import Final

from sandbox.frames import payload_of
from sandbox.generator import generate, name_symbols

SYMBOLS: Final = 100
RATE: Final = 10_000
"""Trades a second by the venue's time, all symbols together."""
SEED: Final = 1


def make_frames(count: int, symbols: int = SYMBOLS) -> list[bytes]:
    """Return frames of trades, as a venue sends them."""
    tape = generate(name_symbols(symbols), count, rate=RATE, seed=SEED)
    return [bytes(payload_of(tape.frames(position, position + 1))) for position in range(count)]


def tape_arguments(count: int) -> list[str]:
    """Return the arguments by which the sandbox plays the same trades as fast as they are taken."""
    market = ["--symbol-count", str(SYMBOLS), "--rate", str(RATE), "--seed", str(SEED)]
    return [*market, "--count", str(count), "--speed", "max", "--hold"]
