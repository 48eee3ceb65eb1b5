"""How long a connection may be silent before it is replaced, by its usual message rate."""

from typing import Final

_WINDOW_S: Final = 60
"""The time constant of the moving average."""
_INTERVALS: Final = 50
"""The deadline in mean intervals between messages; many, as trades arrive in bursts."""
_SHORTEST_S: Final = 5.0
_LONGEST_S: Final = 300.0


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
