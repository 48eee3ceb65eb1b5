"""A venue that sends trades at an exact rate, stamped as they are sent, and costs little.

The sandbox generates live trades one by one, which at high rates takes a core from what is measured. Here
they are encoded ahead as a tape, and only their times are replaced when they are sent.

`python -m bench.feeder SYMBOLS RATE COUNT` prints where it is, as `tickplant sandbox` does.
"""

import asyncio
import re
import sys
from collections.abc import Collection, Sequence
from signal import SIGTERM
from typing import Final

import msgspec

from bench.frames import SEED
from sandbox.audience import SandboxAudience
from sandbox.frames import View
from sandbox.generator import generate, name_symbols
from sandbox.history import SandboxHistory
from sandbox.player import TapePlayer
from sandbox.server import SandboxOptions, serve
from sandbox.source import Provenance, SourceStatus, SymbolTape
from sandbox.venue import SandboxVenue
from tickplant import event_loop
from tickplant.clock import now_us
from tickplant.market import SymbolId

_TIMES: Final = re.compile(rb'("[ET]":)\d{16}(?=[,}])')
_BACKLOG_BYTES: Final = 1 << 30
"""A plant that can't keep up gets older trades, not fewer."""


class RestampingAudience(SandboxAudience):
    """Connections that get the present time in place of the frames' own.

    Args:
        audience: the connections; they stay shared with it.
    """

    def __init__(self, audience: SandboxAudience) -> None:
        self.__dict__ = audience.__dict__

    def send(self, view: View, frames: bytes | memoryview, *, exempt: bool = False) -> None:
        """Send whole frames to every connection of a view."""
        super().send(view, _TIMES.sub(rb"\g<1>%d" % now_us(), bytes(frames)), exempt=exempt)


class RestampedTape:
    """A generated tape, played once at its own rate in the present."""

    def __init__(self, symbols: Sequence[str], rate: float, count: int) -> None:
        self._player = TapePlayer(generate(symbols, count, rate=rate, seed=SEED), hold=True)
        self.provenance: Provenance = "synthetic"

    @property
    def venue(self) -> SandboxVenue:
        """Whose trades they are."""
        return self._player.venue

    @property
    def symbols(self) -> Collection[SymbolId]:
        """The symbols on the tape."""
        return self._player.symbols

    def history(self, symbol: SymbolId) -> SandboxHistory:
        """Return a symbol's trades sent so far, with the tape's times."""
        return self._player.history(symbol)

    def now_us(self) -> int:
        """Return the present."""
        return now_us()

    def status(self) -> SourceStatus:
        """Return how far it has come."""
        return self._player.status()

    def tape(self) -> dict[str, SymbolTape]:
        """Return what it will have sent of each symbol."""
        return self._player.tape()

    async def run(self, audience: SandboxAudience) -> None:
        """Send everything."""
        await self._player.run(RestampingAudience(audience))


async def main(symbols: int, rate: float, count: int) -> None:
    """Serve until SIGTERM."""
    source = RestampedTape(name_symbols(symbols), rate, count)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(SIGTERM, stop.set)
    async with serve([source], options=SandboxOptions(backlog_bytes=_BACKLOG_BYTES)) as running:
        ready = {
            "ws_url": running.ws_url,
            "rest_url": running.rest_url,
            "symbols": [str(symbol) for symbol in source.symbols],
        }
        print(msgspec.json.encode(ready).decode(), flush=True)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, running.playing], return_when=asyncio.FIRST_COMPLETED)
        if running.playing.done():
            running.playing.result()  # a tape that has ended is still served, one that failed raises
        await stopping


if __name__ == "__main__":
    event_loop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
