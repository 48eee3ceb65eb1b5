"""A tape: frames in the order and at the times at which a venue sends them, encoded beforehand.

All frames lie one after the other in one block of bytes, as combined frames in microseconds. Whoever asked
for everything in just that form gets slices of the block; all others get the frames picked and restyled.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from sandbox.binance.frames import encode_styled, envelope, is_of_symbol, read_trade, trade_stream
from sandbox.captures import CapturedFrame
from sandbox.frames import View, encode_frame, payload_of
from sandbox.history import History, Past
from tickplant.market import SymbolId, Trade

CHUNK: Final = 1024
"""Frames that a tape at full speed hands out together."""


class Tape:
    """Frames with their times, and the trades among them by symbol; fill it with `add` and `add_trade`."""

    def __init__(self, *, all_frames: bool = False) -> None:
        self.all_frames = all_frames
        """Whoever listens to a symbol's trades gets its other frames, too."""
        self.times_ns = array("q")
        """When each frame is due; never falls."""
        self.event_times_us = array("q")
        """The venue's clock after each frame; never falls."""
        self.histories: dict[SymbolId, History] = {}
        self.streams: list[str] = []
        self._envelopes: list[bytes] = []
        self._numbers: dict[str, int] = {}
        self._block = bytearray()
        self._ends = array("Q")
        self._stream_of = array("H")
        self._positions: dict[SymbolId, array[int]] = {}

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def trades(self) -> int:
        """The number of trades."""
        return sum(map(len, self.histories.values()))

    @property
    def bytes_used(self) -> int:
        """Bytes that the frames and their columns take."""
        columns = len(self) * 8 * 3 + len(self) * 2
        return len(self._block) + columns + self.trades * 8 * 4

    def add(self, stream: str, payload: bytes, time_ns: int, event_time_us: int) -> None:
        """Add the next frame.

        Args:
            stream: its name, or empty for a frame that came on none.
            payload: without an envelope, in microseconds.
            time_ns: when it is due, not before the frame before it.
            event_time_us: the venue's clock at the time; 0 if unknown.
        """
        number = self._numbers.get(stream)
        if number is None:
            number = self._add_stream(stream)
        start = self._envelopes[number]
        self._block += encode_frame(b"%b%b}" % (start, payload) if start else payload)
        self._ends.append(len(self._block))
        self._stream_of.append(number)
        self.times_ns.append(time_ns)
        known_us = self.event_times_us[-1] if self.event_times_us else event_time_us or time_ns // 1000
        self.event_times_us.append(max(known_us, event_time_us))

    def add_trade(
        self, symbol: SymbolId, trade_id: int, time_us: int, price: str, *, buyer_is_maker: bool
    ) -> None:
        """Note that the frame added last is a trade."""
        history = self.histories.get(symbol)
        if history is None:
            history = self._add_symbol(symbol)
        history.append(trade_id, time_us, price, buyer_is_maker=buyer_is_maker)
        self._positions[symbol].append(len(self) - 1)

    def position_before(self, time_ns: int, start: int) -> int:
        """Return the position of the first frame, from `start` on, that is due later than a time."""
        return bisect_left(self.times_ns, time_ns + 1, start)

    def past(self, symbol: SymbolId, position: int) -> Past:
        """Return a symbol's trades before a position."""
        return Past(self.histories[symbol], self.sent(symbol, position))

    def sent(self, symbol: SymbolId, position: int) -> int:
        """Return how many of a symbol's trades lie before a position."""
        return bisect_left(self._positions[symbol], position)

    def frames(self, start: int, end: int) -> memoryview:
        """Return the encoded frames between two positions, all in one piece."""
        ends = self._ends
        return memoryview(self._block)[ends[start - 1] if start else 0 : ends[end - 1] if end else 0]

    def payload(self, position: int) -> bytes:
        """Return one frame's payload, without an envelope."""
        text = payload_of(self.frames(position, position + 1))
        start = len(self._envelopes[self._stream_of[position]])
        return bytes(text[start:-1] if start else text)

    def wanted(self, view: View) -> list[bool]:
        """Say of each stream, by number, whether a view takes its frames."""
        trades = [stream for stream in view.streams if stream.endswith("@trade")]
        return [
            stream in view.streams
            or (self.all_frames and any(not stream or is_of_symbol(stream, name) for name in trades))
            for stream in self.streams
        ]

    def pick(self, start: int, end: int, wanted: list[bool]) -> Iterator[int]:
        """Yield the positions between two whose streams are wanted."""
        numbers = self._stream_of[start:end]
        return (start + index for index, number in enumerate(numbers) if wanted[number])

    def styled(self, position: int, view: View) -> bytes:
        """Return one frame as a view wants it."""
        start = self._envelopes[self._stream_of[position]]
        return encode_styled(start, self.payload(position), combined=view.combined, micro=view.micro)

    def _add_stream(self, stream: str) -> int:
        number = self._numbers[stream] = len(self.streams)
        self.streams.append(stream)
        self._envelopes.append(envelope(stream) if stream else b"")
        return number

    def _add_symbol(self, symbol: SymbolId) -> History:
        positions = self._positions[symbol] = array("Q")

        def read(index: int) -> Trade:
            return read_trade(self.payload(positions[index]))

        history = self.histories[symbol] = History(symbol, read)
        history.price_decimals = history.size_decimals = 0
        return history


class Rendering:
    """One view of a tape, for all connections that share it."""

    def __init__(self, tape: Tape, view: View) -> None:
        self._tape = tape
        self._view = view
        self._wanted = tape.wanted(view)
        self._as_it_lies = view.combined and view.micro
        self._whole = self._as_it_lies and all(self._wanted)
        self._prepared: dict[tuple[int, int], bytes | memoryview] = {}

    @property
    def empty(self) -> bool:
        """Whether the view takes nothing of this tape."""
        return not any(self._wanted)

    def between(self, start: int, end: int) -> bytes | memoryview:
        """Return the bytes to send for the frames between two positions."""
        if self._whole:
            return self._tape.frames(start, end)
        return self._prepared.get((start, end)) or self._encode(start, end)

    def prepare(self, start: int, end: int) -> None:
        """Encode in advance what `between` will be asked for."""
        if not self._whole:
            self._prepared[start, end] = self._encode(start, end)

    def _encode(self, start: int, end: int) -> bytes:
        tape, view = self._tape, self._view
        picked = tape.pick(start, end, self._wanted)
        if self._as_it_lies:
            return b"".join([tape.frames(position, position + 1) for position in picked])
        return b"".join([tape.styled(position, view) for position in picked])


def record(frames: Iterable[CapturedFrame], *, all_frames: bool = False) -> Tape:
    """Return a tape of captured frames.

    Args:
        frames: in the order of their times.
        all_frames: keep those that are no trades, too.
    """
    tape = Tape(all_frames=all_frames)
    for frame in frames:
        trade = frame.trade
        if trade is None and not all_frames:
            continue
        tape.add(frame.stream, frame.payload, frame.time_ns, frame.event_time_us)
        if trade is not None:
            symbol = SymbolId(trade.venue, trade.symbol)
            tape.add_trade(
                symbol, trade.trade_id, trade.event_time_us, trade.price, buyer_is_maker=trade.side == "sell"
            )
            _note_decimals(tape.histories[symbol], trade)
    return tape


def streams_of_symbols(symbols: Iterable[SymbolId]) -> frozenset[str]:
    """Return the names of the symbols' trade streams."""
    return frozenset(trade_stream(symbol.symbol) for symbol in symbols)


def _note_decimals(history: History, trade: Trade) -> None:
    history.price_decimals = max(history.price_decimals, _decimals(trade.price))
    history.size_decimals = max(history.size_decimals, _decimals(trade.size))


def _decimals(text: str) -> int:
    return len(text.rstrip("0").partition(".")[2])
