"""A venue's time, derived from the messages of one connection, robust against wrong times. Pure.

A wrong time in the future would close every open candle of the connection. So times are bounded twice:

- By this machine's clock, with a tolerance. If that clock is up to 15 hours behind, every trade seems to be
  from the future; many of them in a row, without exception, are accepted.
- By the connection's other symbols. In a replay all times are in the past, so the clock is no bound. There,
  and whenever the venue's time seems to jump, one message is not enough: another symbol must confirm the
  jump, or no message may contradict it for a while. On a connection with one symbol, its next message
  confirms it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from tickplant.kernel import TradeColumns
from tickplant.market import Trade

CLOCK_GRACE_US: Final = 2_000_000
"""How long a trade may be in transit: on a silent connection the clock runs behind by this."""

TOLERANCE_US: Final = 30_000_000
"""How far a time may be ahead of this machine's clock, or of the connection's expected time."""

_UNCONTRADICTED_S: Final = 2.5
"""A jump that nothing contradicts for this time is accepted."""

_RECENT_US: Final = 3_600_000_000
"""A first message that is not older than this is from a live venue, and is accepted at once."""

_BEHIND_TRADES: Final = 20
_BEHIND_S: Final = 30.0
"""This machine's clock counts as behind after this many trades in a row from the future, over this time."""
_MOST_BEHIND_US: Final = 15 * 3600 * 1_000_000
"""A clock set to local time is at most 14 hours behind; a venue's error can be of any size."""


class HeartbeatTime(NamedTuple):
    """The venue's time in a heartbeat."""

    symbol: str | None
    """None for the whole connection."""
    event_time_us: int
    ingest_time_us: int
    """When it was received, by this machine's clock."""


Message = Trade | HeartbeatTime
_received_us: Final = attrgetter("ingest_time_us")
DoubtedTime = tuple[Message, str]
"""A message with an implausible time, and the reason."""


class _TimeJump(NamedTuple):
    """A time far ahead of the connection's, not yet confirmed."""

    message: Message
    since_s: float
    """When the first message with a jumped time was received."""
    received_s: float


class VenueClock:
    """The venue's time by its messages; advances while the connection is silent.

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
        """How far this machine's clock is behind the venue's; 0 if within the tolerance."""

    def observe(self, messages: Sequence[Message], now_s: float) -> list[DoubtedTime]:
        """Update the clock with the times of messages, in order of receipt.

        Args:
            messages: at least one.
            now_s: by a monotonic clock.

        Returns:
            Messages with implausible times.
        """
        if self._confirmed and self._jump is None and self._ahead is None:
            latest = max(messages, key=attrgetter("event_time_us"))
            if latest.event_time_us <= min(self._bound_us(latest), self._due_us(now_s) + TOLERANCE_US):
                self._advance(latest.event_time_us, now_s)  # the usual case
                return []
        return [doubt for message in messages for doubt in self._check(message, now_s)]

    def observe_trades(self, trades: Sequence[TradeColumns], now_s: float) -> list[DoubtedTime]:
        """Update the clock with the times of a batch of trades.

        Args:
            trades: at least one, in order of receipt within each symbol.
            now_s: by a monotonic clock.

        Returns:
            Trades with implausible times.
        """
        if self._confirmed and self._jump is None and self._ahead is None:
            latest_us = max([part.latest_time_us for part in trades])
            bound_us = min([part.trade(0).ingest_time_us for part in trades]) + self.behind_us
            if latest_us <= min(bound_us, self._due_us(now_s)) + TOLERANCE_US:
                self._advance(latest_us, now_s)  # the usual case
                return []
        in_order = sorted([trade for part in trades for trade in part.trades()], key=_received_us)
        return self.observe(in_order, now_s)

    def read_us(self, now_s: float) -> int | None:
        """Return the time before which every trade has been received; None before the first trade.

        Correct if everything received has been parsed and no trade is longer in transit than the grace.
        """
        self._accept_uncontradicted(now_s)
        if not self._time_us:
            return None
        silent_us = int((now_s - self._received_s) * 1e6)
        return self._time_us + max(0, silent_us - CLOCK_GRACE_US)

    def _check(self, message: Message, now_s: float) -> list[DoubtedTime]:
        """Update the clock with one message; return the doubted messages."""
        is_trade = isinstance(message, Trade)
        if message.event_time_us > self._bound_us(message):
            if not (is_trade and self._is_our_clock_behind(message, now_s)):
                return [(message, "it is ahead of this machine's clock")]
        elif is_trade:
            self._ahead = None
        self._accept_uncontradicted(now_s)
        doubts = self._drop_contradicted_jump(message)
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

    def _drop_contradicted_jump(self, message: Message) -> list[DoubtedTime]:
        """Drop a jump that a message contradicts; return it as a doubt."""
        jump = self._jump
        if jump is None or message.event_time_us >= jump.message.event_time_us - TOLERANCE_US:
            return []
        self._jump = None
        return [(jump.message, "it is ahead of the connection's other messages")]

    def _consider_jump(self, message: Message, now_s: float) -> None:
        """Treat a time that is far ahead as the confirmation of an earlier jump, or as a new one."""
        jump, is_trade = self._jump, isinstance(message, Trade)
        if jump is None:
            self._jump = _TimeJump(message, now_s, now_s)
        elif message.symbol != jump.message.symbol or (self._alone and is_trade):
            self._jump = None
            self._accept(min(message.event_time_us, jump.message.event_time_us), now_s)
            if message.event_time_us > self._time_us + TOLERANCE_US:
                self._jump = _TimeJump(message, now_s, now_s)
            else:
                self._advance(message.event_time_us, now_s)
        elif is_trade or not isinstance(jump.message, Trade):
            self._jump = _TimeJump(message, jump.since_s, now_s)

    def _accept_uncontradicted(self, now_s: float) -> None:
        """Accept a jump that nothing has contradicted for long enough."""
        jump = self._jump
        if jump is None or now_s - jump.since_s < _UNCONTRADICTED_S:
            return
        if isinstance(jump.message, Trade) or self._alone:
            self._jump = None
            self._accept(jump.message.event_time_us, jump.received_s)

    def _accept(self, time_us: int, now_s: float) -> None:
        """Advance the clock to a confirmed time."""
        self._confirmed = True
        self._advance(time_us, now_s)

    def _is_our_clock_behind(self, trade: Message, now_s: float) -> bool:
        """Count a trade from the future; return whether enough came in a row to prove the clock behind."""
        lead_us = trade.event_time_us - trade.ingest_time_us
        count, since_s, least_us = self._ahead or (0, now_s, lead_us)
        least_us = min(least_us, lead_us)
        self._ahead = count + 1, since_s, least_us
        if count + 1 < _BEHIND_TRADES or now_s - since_s < _BEHIND_S or least_us > _MOST_BEHIND_US:
            return False
        self.behind_us, self._ahead = least_us, None
        return trade.event_time_us <= self._bound_us(trade)

    def _bound_us(self, message: Message) -> int:
        """Return the greatest plausible time of a message, by this machine's clock."""
        return message.ingest_time_us + self.behind_us + TOLERANCE_US

    def _due_us(self, now_s: float) -> int:
        """Return the venue's expected time: the latest one plus the time since."""
        return self._time_us + int((now_s - self._raised_s) * 1e6)

    def _advance(self, time_us: int, now_s: float) -> None:
        self._received_s = now_s
        if time_us > self._time_us:
            self._time_us, self._raised_s = time_us, now_s
