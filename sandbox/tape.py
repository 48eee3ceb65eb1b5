"""A tape: one venue's frames in the order and at the times at which it sends them, encoded beforehand.

All frames lie one after the other in one block of bytes, in the form that most clients request. Clients
that request all frames in that form get slices of the block; for others frames are selected and rewritten.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from sandbox.captures import CapturedFrame
from sandbox.frames import View, encode_frame, payload_of
from sandbox.history import SandboxHistory, TapeColumns
from sandbox.source import Provenance, SymbolTape
from sandbox.venue import ParsedFrame, SandboxVenue, SyntheticTrade, ViewFit
from tickplant.market import SymbolId, Trade

CHUNK: Final = 1024
"""Frames that a tape at full speed hands out together."""


class Tape:
    """Frames with their times, and the trades among them by symbol; fill it with `add`.

    Args:
        venue: whose frames they are.
        provenance: whether they were recorded or generated.
    """

    def __init__(self, venue: SandboxVenue, *, provenance: Provenance = "replay") -> None:
        self.venue = venue
        self.provenance = provenance
        self.times_ns = array("q")
        """When each frame is due; never falls."""
        self.event_times_us = array("q")
        """The venue's clock after each frame; never falls."""
        self.columns: dict[SymbolId, TapeColumns] = {}
        self.streams: list[str] = []
        self._numbers: dict[str, int] = {}
        self._block = bytearray()
        self._ends = array("Q")
        self._stream_of = array("I")
        self._positions: dict[SymbolId, array[int]] = {}
        """Of each trade, how far the tape has come with it; 0 for those from before."""
        self._earlier: dict[SymbolId, list[Trade]] = {}

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def trades(self) -> int:
        """The number of trades that are sent."""
        return sum(map(self.count, self.columns))

    @property
    def bytes_used(self) -> int:
        """Bytes that the frames and their columns take."""
        fixed = len(self) * (8 * 3 + 4)
        return len(self._block) + fixed + sum(map(len, self.columns.values())) * 8 * 4

    def add(self, frame: ParsedFrame, time_ns: int) -> None:
        """Add the next frame with its trades.

        Args:
            frame: as parsed, or made. Of trades that had happened before, those from before a symbol's first
                go into its history alone; later ones that the tape lacks are sent like any other.
            time_ns: when it is due, not before the frame before it.
        """
        if frame.historical:
            for trade in frame.trades:
                self._add_historical(trade, time_ns)
            return
        self._block += encode_frame(frame.text)
        self._ends.append(len(self._block))
        self._stream_of.append(self._number(frame.stream))
        self.times_ns.append(time_ns)
        sent_us = frame.event_time_us
        known_us = self.event_times_us[-1] if self.event_times_us else sent_us or time_ns // 1000
        self.event_times_us.append(max(known_us, sent_us))
        for trade in frame.trades:
            self._note(trade, len(self))

    def count(self, symbol: SymbolId) -> int:
        """Return how many of a symbol's trades are sent."""
        return len(self.columns[symbol]) - len(self._earlier[symbol])

    def holdings(self) -> dict[str, SymbolTape]:
        """Return what the tape holds of each symbol, with the trades that had happened before it began."""
        return {str(symbol): self._holding(columns) for symbol, columns in self.columns.items()}

    def _holding(self, columns: TapeColumns) -> SymbolTape:
        ids = columns.id_ranges() if self.venue.numbered else None
        trades = len(columns) if ids is None else sum(last - first + 1 for first, last in ids)
        return SymbolTape(trades, ids, min(columns.times_us), max(columns.times_us))

    def ends(self) -> list[int]:
        """Return the positions of the symbols' first and last trades, in order."""
        sent = ((self._positions[symbol], len(self._earlier[symbol])) for symbol in self._positions)
        return sorted(
            {positions[end] - 1 for positions, first in sent if first < len(positions) for end in (first, -1)}
        )

    def position_before(self, time_ns: int, start: int) -> int:
        """Return the position of the first frame, from `start` on, that is due later than a time."""
        return bisect_left(self.times_ns, time_ns + 1, start)

    def history(self, symbol: SymbolId, position: int) -> SandboxHistory:
        """Return a symbol's trades before a position, and those that had happened before the tape began."""
        return SandboxHistory(self.columns[symbol], bisect_left(self._positions[symbol], position + 1))

    def sent(self, symbol: SymbolId, position: int) -> int:
        """Return how many of a symbol's trades are sent before a position."""
        return bisect_left(self._positions[symbol], position + 1) - len(self._earlier[symbol])

    def frames(self, start: int, end: int) -> memoryview:
        """Return the encoded frames between two positions, all in one piece."""
        ends = self._ends
        return memoryview(self._block)[ends[start - 1] if start else 0 : ends[end - 1] if end else 0]

    def text(self, position: int) -> bytes:
        """Return one frame's text, as it lies."""
        return bytes(payload_of(self.frames(position, position + 1)))

    def stream_numbers(self, start: int, end: int) -> Sequence[int]:
        """Return, of the frames between two positions, the indexes of their streams in `streams`."""
        return self._stream_of[start:end]

    def _note(self, trade: Trade, position: int) -> None:
        symbol = SymbolId(trade.venue, trade.symbol)
        columns = self._columns_of(symbol)
        trade_id = trade.trade_id if self.venue.numbered else len(columns) + 1
        columns.append(trade_id, trade.event_time_us, trade.price, trade.side)
        columns.price_decimals = max(columns.price_decimals, _decimals(trade.price))
        columns.size_decimals = max(columns.size_decimals, _decimals(trade.size))
        self._positions[symbol].append(position)

    def _add_historical(self, trade: Trade, time_ns: int) -> None:
        symbol = SymbolId(trade.venue, trade.symbol)
        columns = self._columns_of(symbol)
        if columns.highest_id is not None and trade.trade_id <= columns.highest_id:
            return
        if len(columns) == len(self._earlier[symbol]):
            self._earlier[symbol].append(trade)
            self._note(trade, 0)
            return
        made = SyntheticTrade(0, trade.trade_id, trade.price, trade.size, trade.side or "buy")
        (text,) = self.venue.encode_order(trade.symbol, [made], trade.event_time_us)
        self.add(ParsedFrame(trade.symbol, text, trade.event_time_us, (trade,)), time_ns)

    def _number(self, stream: str) -> int:
        number = self._numbers.get(stream)
        if number is None:
            number = self._numbers[stream] = len(self.streams)
            self.streams.append(stream)
        return number

    def _columns_of(self, symbol: SymbolId) -> TapeColumns:
        columns = self.columns.get(symbol)
        if columns is None:
            self._positions[symbol] = array("Q")
            self._earlier[symbol] = []
            columns = self.columns[symbol] = TapeColumns(symbol, partial(self._read, symbol))
            columns.price_decimals = columns.size_decimals = 0
        return columns

    def _read(self, symbol: SymbolId, index: int) -> Trade:
        earlier, positions = self._earlier[symbol], self._positions[symbol]
        if index < len(earlier):
            return earlier[index]
        position = positions[index]
        found = self.venue.read_trades(self.text(position - 1))
        trades = [trade for trade in found if trade.symbol == symbol.symbol]
        trade = trades[index - bisect_left(positions, position)]
        return trade if self.venue.numbered else replace(trade, trade_id=self.columns[symbol].ids[index])


class Rendering:
    """One view of a tape, for all connections that share it."""

    def __init__(self, tape: Tape, view: View) -> None:
        self._tape = tape
        self._view = view
        self._fits = [tape.venue.fit(stream, view) for stream in tape.streams]
        self._whole = all(fit is ViewFit.AS_IT_LIES for fit in self._fits)
        self._prepared: dict[tuple[int, int], bytes | memoryview] = {}

    @property
    def empty(self) -> bool:
        """Whether the view takes nothing of this tape."""
        return all(fit is ViewFit.NONE for fit in self._fits)

    def between(self, start: int, end: int) -> bytes | memoryview:
        """Return the bytes to send for the frames between two positions."""
        if self._whole:
            return self._tape.frames(start, end)
        return self._prepared.get((start, end)) or self._encode(start, end)

    def prepare(self, start: int, end: int) -> None:
        """Encode in advance what `between` will return."""
        if not self._whole:
            self._prepared[start, end] = self._encode(start, end)

    def _encode(self, start: int, end: int) -> bytes:
        tape, fits, parts = self._tape, self._fits, []
        for position, number in enumerate(tape.stream_numbers(start, end), start):
            fit = fits[number]
            if fit is ViewFit.AS_IT_LIES:
                parts.append(tape.frames(position, position + 1))
            elif fit is ViewFit.STYLED:
                text = tape.venue.style(tape.text(position), tape.streams[number], self._view)
                parts.append(memoryview(encode_frame(text)))
        return b"".join(parts)


def record(frames: Iterable[CapturedFrame], *, all_frames: bool = False) -> list[Tape]:
    """Return the tapes of captured frames, one a venue.

    Args:
        frames: in the order of their times.
        all_frames: also include those that are not trades; subscribers to a symbol's trades get them.
    """
    tapes: dict[str, Tape] = {}
    for time_ns, venue, frame in frames:
        if frame.trades or all_frames:
            tape = tapes.get(venue.name)
            if tape is None:
                tape = tapes[venue.name] = Tape(venue)
            tape.add(frame, time_ns)
    return list(tapes.values())


def _decimals(text: str) -> int:
    return len(text.rstrip("0").partition(".")[2])
