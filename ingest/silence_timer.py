"""How often a connection's messages come, and so after how long a silence is none of the market's."""

from typing import Final

_MEMORY_BEATS: Final = 60
_INTERVALS: Final = 50
"""Mean intervals that a silence must last; trades come in bursts, so a few would be no sign."""
_LEAST_S: Final = 5.0
_MOST_S: Final = 300.0


class SilenceTimer:
    """The rate of messages, over about a minute, told once a second. Kept over connections."""

    def __init__(self) -> None:
        self._per_s = 0.0

    def beat(self, messages: int) -> None:
        """Note how many messages have come in the last second."""
        self._per_s += (messages - self._per_s) / _MEMORY_BEATS

    @property
    def deadline_s(self) -> float:
        """How long a socket may be mute before it is replaced: the busier, the shorter."""
        if self._per_s <= _INTERVALS / _MOST_S:
            return _MOST_S
        return max(_LEAST_S, _INTERVALS / self._per_s)
