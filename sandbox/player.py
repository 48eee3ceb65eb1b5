"""Plays a tape to an audience: by the tape's own times, faster, or as fast as the slowest listener."""

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import Final

from sandbox.audience import SandboxAudience
from sandbox.frames import View
from sandbox.history import SandboxHistory
from sandbox.source import Provenance, SourceStatus, State, SymbolStatus, SymbolTape
from sandbox.tape import CHUNK, Rendering, Tape
from sandbox.venue import SandboxVenue, streams_of
from tickplant.market import SymbolId

_MAX_STEP: Final = 4 * CHUNK
_TICK_S: Final = 0.001
_MAX_UNUSED_RENDERINGS: Final = 16
"""How many renderings of views without connections are retained."""


class TapePlayer:
    """A tape with a position.

    Args:
        tape: at least one frame.
        speed: how many times faster than recorded; None for as fast as the slowest listener reads. At a
            speed, a listener that can't keep up is dropped; without one, the tape waits for it, and while
            there is no listener at all.
        hold: wait until each symbol on the tape has a listener.
        wanted: the symbols that clients will subscribe to: it waits only for these, and a tape that has none
            of them is not played. None: all.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        speed: float | None = 1,
        hold: bool = False,
        wanted: Collection[SymbolId] | None = None,
    ) -> None:
        self._tape = tape
        self._speed = speed
        self._hold = hold
        self._unwanted = wanted is not None and not set(wanted) & tape.columns.keys()
        self._ends = tape.ends()
        self._awaited = streams_of(
            tape.venue, (symbol for symbol in tape.columns if wanted is None or symbol in wanted)
        )
        self._holdings = tape.holdings()
        self._position = 0
        self._state: State = "waiting"
        self._renderings: dict[View, Rendering] = {}
        self._started_s = 0.0

    @property
    def venue(self) -> SandboxVenue:
        """Whose tape it is."""
        return self._tape.venue

    @property
    def provenance(self) -> Provenance:
        """Whether it was recorded or generated."""
        return self._tape.provenance

    @property
    def symbols(self) -> Collection[SymbolId]:
        """The symbols on the tape."""
        return self._tape.columns.keys()

    def history(self, symbol: SymbolId) -> SandboxHistory:
        """Return a symbol's trades before the tape's position."""
        return self._tape.history(symbol, self._position)

    def now_us(self) -> int:
        """Return the tape's time: the venue's clock at the last frame sent, moving on where it is paced."""
        times_us = self._tape.event_times_us
        last_us = times_us[max(0, self._position - 1)]
        if self._state != "playing" or self._speed is None or self._position in (0, len(self._tape)):
            return last_us
        since_us = (self._due_ns(self._speed) - self._tape.times_ns[self._position - 1]) // 1000
        return max(last_us, min(last_us + since_us, times_us[self._position]))

    def status(self) -> SourceStatus:
        """Return how far the tape has come."""
        tape = self._tape
        symbols = {
            str(symbol): SymbolStatus(
                tape.count(symbol),
                columns.highest_id if tape.venue.numbered else None,
                tape.sent(symbol, self._position),
            )
            for symbol, columns in tape.columns.items()
        }
        sent = sum(symbol.sent for symbol in symbols.values())
        return SourceStatus(self._state, sent, tape.trades, symbols)

    def tape(self) -> dict[str, SymbolTape]:
        """Return what the tape holds of each symbol."""
        return self._holdings

    async def run(self, audience: SandboxAudience) -> None:
        """Play the tape to its end."""
        if self._unwanted:
            self._state = "finished"
            return
        if self._hold:
            await audience.until(lambda: audience.covers(self._awaited))
        if self._speed is None:
            if self._hold:
                await self._prepare(audience)
            await self._run_freely(audience)
        else:
            await self._run_paced(audience, self._speed)
        self._state = "finished"

    async def _prepare(self, audience: SandboxAudience) -> None:
        """Encode for those who wait, so that encoding takes no time while the tape runs."""
        for view in tuple(audience.groups):
            for start in range(0, len(self._tape), CHUNK):
                self._rendering(view).prepare(start, min(start + CHUNK, len(self._tape)))
                await asyncio.sleep(0)

    async def _run_freely(self, audience: SandboxAudience) -> None:
        while self._position < len(self._tape):
            await audience.until(lambda: any(not self._rendering(view).empty for view in audience.groups))
            self._state = "playing"
            self._send(audience, min(self._position + CHUNK, len(self._tape)))
            await audience.drained()
            await asyncio.sleep(0)

    async def _run_paced(self, audience: SandboxAudience, speed: float) -> None:
        times_ns = self._tape.times_ns
        self._started_s = asyncio.get_running_loop().time()
        self._state = "playing"
        while self._position < len(self._tape):
            due_ns = self._due_ns(speed)
            end = min(self._tape.position_before(due_ns, self._position), self._position + _MAX_STEP)
            self._send(audience, end)
            audience.drop_laggards()
            ahead_s = (times_ns[end] - due_ns) / 1e9 / speed if end < len(self._tape) else 0
            await asyncio.sleep(max(_TICK_S, ahead_s) if ahead_s > 0 else 0)

    def _due_ns(self, speed: float) -> int:
        """Return the time on the tape up to which frames are due."""
        elapsed_s = asyncio.get_running_loop().time() - self._started_s
        return self._tape.times_ns[0] + int(elapsed_s * speed * 1e9)

    def _send(self, audience: SandboxAudience, end: int) -> None:
        start, self._position = self._position, end
        if len(self._renderings) > len(audience.groups) + _MAX_UNUSED_RENDERINGS:
            self._renderings = {view: self._rendering(view) for view in audience.groups}
        for first, stop, exempt in self._parts(start, end):
            for view in audience.groups:
                audience.send(view, self._rendering(view).between(first, stop), exempt=exempt)

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Split a range of the tape around the first and last trades of symbols.

        They are exempt from faults: no later trade would reveal their loss.
        """
        for position in self._ends[bisect_left(self._ends, start) : bisect_left(self._ends, end)]:
            if start < position:
                yield start, position, False
            yield position, position + 1, True
            start = position + 1
        if start < end:
            yield start, end, False

    def _rendering(self, view: View) -> Rendering:
        rendering = self._renderings.get(view)
        if rendering is None:
            rendering = self._renderings[view] = Rendering(self._tape, view)
        return rendering
