"""How long a connection may be silent before it is replaced, from its usual rate of messages."""

from typing import Final

_WINDOW_S: Final = 60
_INTERVALS: Final = 50
"""The deadline in mean intervals between messages; many, since trades come in bursts."""
_LEAST_S: Final = 5.0
_MOST_S: Final = 300.0


class SilenceTimer:
    """A moving average of the rate of messages over about a minute, and the deadline that follows from it."""

    def __init__(self) -> None:
        self._per_s = 0.0

    def count(self, messages: int) -> None:
        """Add the number of messages of the last second."""
        self._per_s += (messages - self._per_s) / _WINDOW_S

    @property
    def deadline_s(self) -> float:
        """How long a socket may be silent before it is replaced; shorter for busier connections."""
        if self._per_s <= _INTERVALS / _MOST_S:
            return _MOST_S
        return max(_LEAST_S, _INTERVALS / self._per_s)
