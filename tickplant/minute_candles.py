"""Candles of a minute that grow by columns."""

from tickplant.columns import PIECE, TradeColumns, concat
from tickplant.market import Candle, merge


class MinuteCandles:
    """Candles of a minute of one symbol, which grow by columns: those that `fold` returns, merged."""

    __slots__ = ("_candles", "_count", "_parts")

    def __init__(self) -> None:
        self._candles: dict[int, Candle] = {}
        self._parts: list[TradeColumns] = []  # to be folded together, which takes half the time
        self._count = 0

    def __bool__(self) -> bool:
        """Whether there is a candle."""
        return bool(self._candles) or self._count > 0

    def add(self, columns: TradeColumns) -> None:
        """Add more trades of the symbol."""
        self._parts.append(columns)
        self._count += len(columns)
        if self._count >= PIECE:
            self._fold_parts()

    def take(self) -> list[Candle]:
        """Return the candles in order of time, and start anew."""
        self._fold_parts()
        candles, self._candles = self._candles, {}
        return [candles[opened_us] for opened_us in sorted(candles)]

    def _fold_parts(self) -> None:
        if not self._count:
            return
        for candle in concat(self._parts).fold():
            known = self._candles.get(candle.open_time_us)
            self._candles[candle.open_time_us] = merge(known, candle) if known else candle
        self._parts = []
        self._count = 0
