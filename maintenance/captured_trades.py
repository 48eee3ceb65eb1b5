"""Captures as files to import: the trades of a symbol in recorded frames, each id once, ascending."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ingest.imports.source import Block, FileError, block_of
from sandbox.captures import CaptureProblem, read_captured_trades
from sandbox.venues import VENUES
from tickplant.kernel import TradeColumns, decode_columns, encode_columns, from_trades
from tickplant.market import SymbolId, Trade

_CHUNK: Final = 20_000
_HELD: Final = 5_000
"""Trades of which later ones may come before: connections that overlap are merged by time."""


class CapturedTrades:
    """The trades of one symbol in captures: a `TradeFile`. They are held encoded, some 30 bytes each."""

    def __init__(self, symbol: SymbolId, name: str) -> None:
        """Start without trades.

        Args:
            symbol: whose trades.
            name: of the captures, for messages.
        """
        self.symbol = symbol
        self.name = name
        self.start_us = self.end_us = 0
        self._chunks: list[bytes] = []
        self._firsts: list[int] = []
        self._last = -1
        self._held: dict[int, Trade] = {}

    def add(self, trade: Trade) -> None:
        """Add a trade; one whose id is known is left out."""
        if trade.trade_id <= self._last:
            self._insert(trade)
            return
        self._held.setdefault(trade.trade_id, trade)
        if len(self._held) >= _CHUNK + _HELD:
            self._flush(_CHUNK)

    def finish(self) -> None:
        """Note that there are no more trades; there must be one."""
        self._flush(len(self._held))
        blocks = list(self.scan())
        self.start_us = min(block.first_us for block in blocks)
        self.end_us = max(block.last_us for block in blocks) + 1

    def close(self) -> None:
        """Do nothing: no file is open."""

    def scan(self) -> Iterator[Block]:
        """Yield the blocks; see `TradeFile`."""
        for number, chunk in enumerate(self._chunks):
            yield block_of(number, decode_columns(chunk)[0])

    def read(self, block: Block) -> TradeColumns:
        """Return the trades of a block; see `TradeFile`."""
        return decode_columns(self._chunks[block.number])[0]

    def _flush(self, count: int) -> None:
        ids = sorted(self._held)[:count]
        if ids:
            self._chunks.append(encode_columns([from_trades([self._held.pop(trade_id) for trade_id in ids])]))
            self._firsts.append(ids[0])
            self._last = ids[-1]

    def _insert(self, trade: Trade) -> None:
        place = max(0, bisect_right(self._firsts, trade.trade_id) - 1)
        trades = {entry.trade_id: entry for entry in decode_columns(self._chunks[place])[0].trades()}
        if trade.trade_id not in trades:
            trades[trade.trade_id] = trade
            self._chunks[place] = encode_columns([from_trades([trades[entry] for entry in sorted(trades)])])
            self._firsts[place] = min(trades)


def read_captures(paths: Sequence[Path]) -> list[CapturedTrades]:
    """Read captures, and return their trades by symbol.

    Raises:
        FileError: a line is malformed, or trades have no ids.
        CaptureError: a file holds no frames of a known venue.
    """

    def refuse(problem: CaptureProblem) -> None:
        raise FileError(str(problem))

    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"
    found: dict[SymbolId, CapturedTrades] = {}
    for trade in read_captured_trades(paths, refuse):
        symbol = SymbolId(trade.venue, trade.symbol)
        if symbol not in found:
            if not VENUES[trade.venue].numbered:
                raise FileError(
                    f"{name}: trades of {trade.venue} have no ids, so that nothing would show which are"
                    " missing, or stored already; `tickplant up --replay` plays them into a plant of its own"
                )
            found[symbol] = CapturedTrades(symbol, name)
        found[symbol].add(trade)
    if not found:
        raise FileError(f"{name}: there are no trades in it")
    for captured in found.values():
        captured.finish()
    return list(found.values())
