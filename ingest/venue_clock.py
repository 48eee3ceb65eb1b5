"""A venue's time, as the messages of one connection tell it; no wrong message moves it. Pure.

A time that is wrong and in the future would close every open candle of the connection. So it is bounded
twice:

- By our own clock, with a tolerance. Where our clock is behind by up to 15 hours, every trade of the venue
  seems to be from the future; so many in a row, with none in between that isn't, are believed instead.
- By the connection's other symbols. In a replay our clock bounds nothing, as all times are years ago. There,
  and wherever the venue's time seems to jump, one message is not enough: another symbol has to confirm it, or
  nothing may contradict it for a while. A connection with one symbol harms nobody else, so its own next
  message is enough.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from tickplant.market import Trade

CLOCK_GRACE_US: Final = 2_000_000
"""How long a trade may be on its way before a silent socket's clock passes it."""

TOLERANCE_US: Final = 30_000_000
"""How far a time may be ahead of our clock, or of what the connection's clock should say by now."""

_UNCONTRADICTED_S: Final = 2.5
"""After so long a jump that nothing contradicts is believed."""

_RECENT_US: Final = 3_600_000_000
"""A first message that is no older, by our clock, is of a live venue, and believed at once."""

_BEHIND_TRADES: Final = 20
_BEHIND_S: Final = 30.0
"""So many trades, over so long, must all be from our future before our clock is taken to be behind."""
_BEHIND_MOST_US: Final = 15 * 3600 * 1_000_000
"""A clock that was set to local time is wrong by 14 hours at most; a venue's mistake can be of any size."""


class HeartbeatTime(NamedTuple):
    """What a heartbeat says of the venue's time."""

    symbol: str | None
    """None: of the whole connection."""
    event_time_us: int
    ingest_time_us: int
    """When it was received, by our own clock."""


Message = Trade | HeartbeatTime
DoubtedTime = tuple[Message, str]
"""A message whose time is not believed, and why."""


class _TimeJump(NamedTuple):
    """A time far ahead of the connection's that is yet to be confirmed."""

    message: Message
    since_s: float
    """When the venue's time was first said to have jumped."""
    received_s: float


class VenueClock:
    """The venue's time as its own messages tell it, going on while the socket is silent.

    Args:
        alone: whether the connection has one symbol only.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._time_us = 0
        self._raised_s = 0.0
        self._received_s = 0.0
        self._confirmed = False
        self._jump: _TimeJump | None = None
        self._ahead: tuple[int, float, int] | None = None
        self.behind_us = 0
        """How far our own clock is behind the venue's, as far as it is more than the tolerance."""

    def observe(self, messages: Sequence[Message], now_s: float) -> list[DoubtedTime]:
        """Take the times of messages, in the order of their receipt.

        Args:
            messages: at least one.
            now_s: by a monotonic clock.

        Returns:
            Those that are not believed.
        """
        if self._confirmed and self._jump is None and self._ahead is None:
            latest = max(messages, key=attrgetter("event_time_us"))
            if latest.event_time_us <= min(self._bound_us(latest), self._due_us(now_s) + TOLERANCE_US):
                self._advance(latest.event_time_us, now_s)  # nearly always
                return []
        return [doubt for message in messages for doubt in self._check(message, now_s)]

    def read_us(self, now_s: float) -> int | None:
        """Return a time before which every trade has been received; None before the first trade.

        Right as long as everything received has been parsed, and no trade takes longer than the grace.
        """
        self._accept_unrefuted(now_s)
        if not self._time_us:
            return None
        silent_us = int((now_s - self._received_s) * 1e6)
        return self._time_us + max(0, silent_us - CLOCK_GRACE_US)

    def _check(self, message: Message, now_s: float) -> list[DoubtedTime]:
        trade = isinstance(message, Trade)
        if message.event_time_us > self._bound_us(message):
            if not (trade and self._is_our_clock_behind(message, now_s)):
                return [(message, "it is ahead of this machine's clock")]
        elif trade:
            self._ahead = None
        self._accept_unrefuted(now_s)
        doubts = self._refute(message)
        time_us = message.event_time_us
        if not self._time_us or (not self._confirmed and time_us < self._time_us - TOLERANCE_US):
            self._time_us, self._raised_s, self._received_s = time_us, now_s, now_s
            self._confirmed = time_us > message.ingest_time_us - _RECENT_US
        elif time_us <= self._due_us(now_s) + TOLERANCE_US:
            self._confirmed |= time_us >= self._time_us - TOLERANCE_US
            self._advance(time_us, now_s)
        else:
            self._consider_jump(message, now_s)
        return doubts

    def _refute(self, message: Message) -> list[DoubtedTime]:
        """Drop a jump that a message contradicts."""
        jump = self._jump
        if jump is None or message.event_time_us >= jump.message.event_time_us - TOLERANCE_US:
            return []
        self._jump = None
        return [(jump.message, "it is ahead of what the connection's other messages say")]

    def _consider_jump(self, message: Message, now_s: float) -> None:
        """Take a time that is far ahead: to confirm the jump before it, or as a jump to be confirmed."""
        jump, trade = self._jump, isinstance(message, Trade)
        if jump is None:
            self._jump = _TimeJump(message, now_s, now_s)
        elif message.symbol != jump.message.symbol or (self._alone and trade):
            self._jump = None
            self._accept(min(message.event_time_us, jump.message.event_time_us), now_s)
            if message.event_time_us > self._time_us + TOLERANCE_US:
                self._jump = _TimeJump(message, now_s, now_s)
            else:
                self._advance(message.event_time_us, now_s)
        elif trade or not isinstance(jump.message, Trade):
            self._jump = _TimeJump(message, jump.since_s, now_s)

    def _accept_unrefuted(self, now_s: float) -> None:
        """Believe a jump that nothing has contradicted for long enough."""
        jump = self._jump
        if jump is None or now_s - jump.since_s < _UNCONTRADICTED_S:
            return
        if isinstance(jump.message, Trade) or self._alone:
            self._jump = None
            self._accept(jump.message.event_time_us, jump.received_s)

    def _accept(self, time_us: int, now_s: float) -> None:
        self._confirmed = True
        self._advance(time_us, now_s)

    def _is_our_clock_behind(self, trade: Message, now_s: float) -> bool:
        """Count one more trade from our future; say whether there have been too many for it to be wrong."""
        lead_us = trade.event_time_us - trade.ingest_time_us
        count, since_s, least_us = self._ahead or (0, now_s, lead_us)
        least_us = min(least_us, lead_us)
        self._ahead = count + 1, since_s, least_us
        if count + 1 < _BEHIND_TRADES or now_s - since_s < _BEHIND_S or least_us > _BEHIND_MOST_US:
            return False
        self.behind_us, self._ahead = least_us, None
        return trade.event_time_us <= self._bound_us(trade)

    def _bound_us(self, message: Message) -> int:
        return message.ingest_time_us + self.behind_us + TOLERANCE_US

    def _due_us(self, now_s: float) -> int:
        """Return what the venue's time should be by now."""
        return self._time_us + int((now_s - self._raised_s) * 1e6)

    def _advance(self, time_us: int, now_s: float) -> None:
        self._received_s = now_s
        if time_us > self._time_us:
            self._time_us, self._raised_s = time_us, now_s
