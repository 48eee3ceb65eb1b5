"""How long a connection may be silent before it is replaced, by its usual message rate."""

from typing import Final

_WINDOW_S: Final = 60
"""The time constant of the moving average."""
_INTERVALS: Final = 50
"""The deadline in mean intervals between messages; many, as trades arrive in bursts."""
_SHORTEST_S: Final = 5.0
_LONGEST_S: Final = 300.0
_SHORTEST_WITHOUT_TRADES_S: Final = 60.0
_LONGEST_WITHOUT_TRADES_S: Final = 3600.0


class SilenceTimer:
    """The message rate as a moving average over about a minute, and the deadline that follows from it."""

    def __init__(self) -> None:
        self._per_s = 0.0

    def count(self, messages: int) -> None:
        """Add the number of messages of the last second."""
        self._per_s += (messages - self._per_s) / _WINDOW_S

    @property
    def deadline_s(self) -> float:
        """How long a socket may be silent before it is replaced; shorter for busier connections."""
        if self._per_s <= _INTERVALS / _LONGEST_S:
            return _LONGEST_S
        return max(_SHORTEST_S, _INTERVALS / self._per_s)


class TradeTimer:
    """How long a connection may be without trades, though other messages arrive, before it is replaced.

    Markets pause and close, so each replacement that brings no trade doubles the deadline.
    """

    def __init__(self) -> None:
        self._rate = SilenceTimer()
        self._replacements = 0

    def count(self, batches: int) -> None:
        """Add the number of batches of trades of the last second."""
        self._rate.count(batches)
        if batches:
            self._replacements = 0

    def note_replaced(self) -> None:
        """Note that a connection is replaced because it has no trades."""
        self._replacements += 1

    @property
    def deadline_s(self) -> float:
        """How long a connection may be without trades before it is replaced."""
        shortest_s = max(_SHORTEST_WITHOUT_TRADES_S, self._rate.deadline_s)
        return min(_LONGEST_WITHOUT_TRADES_S, shortest_s * 2.0 ** min(self._replacements, 60))
