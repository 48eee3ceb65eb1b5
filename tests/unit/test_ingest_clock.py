"""The venue's time as its messages tell it, whatever some of them say."""

import pytest

from ingest.venue_clock import CLOCK_GRACE_US, TOLERANCE_US, DoubtedTime, HeartbeatTime, VenueClock
from tickplant.market import Trade

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
NOW_US = 1_795_000_000 * SECOND_US
LONG_AGO_US = 1_381_239_000 * SECOND_US


def trade(symbol: str, time_us: int, received_us: int) -> Trade:
    return Trade("coinbase", symbol, 1, "1", "1", "buy", time_us, received_us)


class Connection:
    """A clock, and messages for it that come one each step of `step_s`."""

    def __init__(
        self, *, alone: bool = False, venue_us: int = NOW_US, own_us: int = NOW_US, step_s: float = 0.1
    ) -> None:
        self.clock = VenueClock(alone=alone)
        self.venue_us, self.own_us, self.now_s, self.step_s = venue_us, own_us, 100.0, step_s
        self.doubts: list[DoubtedTime] = []

    def trade(self, symbol: str, *, ahead_us: int = 0, count: int = 1) -> None:
        for _ in range(count):
            self.wait(self.step_s)
            message = trade(symbol, self.venue_us + ahead_us, self.own_us)
            self.doubts += self.clock.observe([message], self.now_s)

    def beat(self, symbol: str, *, ahead_us: int = 0) -> None:
        self.wait(self.step_s)
        self.doubts += self.clock.observe(
            [HeartbeatTime(symbol, self.venue_us + ahead_us, self.own_us)], self.now_s
        )

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.venue_us += int(seconds * 1e6)
        self.own_us += int(seconds * 1e6)

    @property
    def error_us(self) -> int:
        """How far the clock is off."""
        read_us = self.clock.read_us(self.now_s)
        assert read_us is not None
        return read_us - self.venue_us


def test_there_is_no_time_before_the_first_trade() -> None:
    assert VenueClock().read_us(now_s=100.0) is None


@pytest.mark.parametrize("start_us", [NOW_US, LONG_AGO_US])
def test_the_clock_stops_at_the_latest_trade_and_continues_after_the_grace_period(start_us: int) -> None:
    clock = VenueClock()
    clock.observe([trade("A", start_us, NOW_US)], now_s=100.0)
    assert clock.read_us(100.0) == start_us
    assert clock.read_us(100.0 + CLOCK_GRACE_US / 1e6) == start_us
    assert clock.read_us(100.0 + CLOCK_GRACE_US / 1e6 + 3) == start_us + 3 * SECOND_US


def test_an_older_trade_does_not_turn_it_back() -> None:
    clock = VenueClock()
    clock.observe([trade("A", NOW_US, NOW_US)], now_s=100.0)
    clock.observe([trade("A", NOW_US - HOUR_US // 2, NOW_US)], now_s=101.0)
    assert clock.read_us(101.0) == NOW_US


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("ahead_us", [2 * TOLERANCE_US, DAY_US, 300 * DAY_US, 73 * 365 * DAY_US])
def test_a_message_from_our_future_does_not_move_it(ahead_us: int, alone: bool) -> None:
    connection = Connection(alone=alone)
    connection.trade("A", count=5)
    connection.trade("A", ahead_us=ahead_us)
    for _ in range(60):
        connection.beat("A", ahead_us=ahead_us)
        assert connection.error_us <= 0
    connection.trade("A")
    assert connection.error_us == 0
    assert len(connection.doubts) == 61
    assert {reason for _, reason in connection.doubts} == {"it is ahead of this machine's clock"}


def test_heartbeats_from_our_future_do_not_move_a_clock_that_has_heard_nothing_else() -> None:
    connection = Connection(alone=True, step_s=1)
    for _ in range(120):
        connection.beat("A", ahead_us=10 * HOUR_US)
    assert connection.clock.read_us(connection.now_s) is None


@pytest.mark.parametrize("ahead_us", [2 * TOLERANCE_US, DAY_US, 300 * DAY_US])
@pytest.mark.parametrize("own_us", [NOW_US, LONG_AGO_US + 400 * DAY_US, LONG_AGO_US + 2 * DAY_US])
def test_where_our_clock_bounds_nothing_the_other_symbols_do(own_us: int, ahead_us: int) -> None:
    connection = Connection(venue_us=LONG_AGO_US, own_us=own_us)
    connection.trade("A", count=3)
    for _ in range(60):
        connection.trade("B", ahead_us=ahead_us)
        connection.beat("B", ahead_us=ahead_us)
        connection.trade("B", ahead_us=ahead_us)
        assert connection.error_us <= 0
        connection.trade("A")
        assert connection.error_us == 0
    assert connection.doubts
    assert {message.symbol for message, _ in connection.doubts} == {"B"}


def test_one_symbol_alone_is_bounded_by_its_own_next_trade() -> None:
    connection = Connection(venue_us=LONG_AGO_US, alone=True)
    connection.trade("A", count=3)
    connection.trade("A", ahead_us=300 * DAY_US)
    connection.trade("A", count=3)
    assert connection.error_us == 0
    assert len(connection.doubts) == 1


def test_a_wrong_first_message_is_forgotten() -> None:
    connection = Connection(venue_us=LONG_AGO_US)
    connection.trade("A", ahead_us=300 * DAY_US)
    connection.trade("B")
    connection.trade("A")
    assert connection.error_us == 0


def test_a_tape_that_leaps_over_a_night_is_followed() -> None:
    connection = Connection(venue_us=LONG_AGO_US)
    connection.trade("A", count=3)
    connection.venue_us += 17 * HOUR_US
    connection.trade("A", count=2)
    assert connection.error_us < -16 * HOUR_US  # nobody else has said so yet
    connection.trade("B")
    assert connection.error_us == 0
    assert not connection.doubts


def test_a_leap_that_nothing_contradicts_is_believed() -> None:
    connection = Connection(venue_us=LONG_AGO_US)
    connection.trade("A", count=3)
    connection.venue_us += 17 * HOUR_US
    connection.trade("A")
    connection.wait(3)
    assert -2 * SECOND_US <= connection.error_us <= 0


@pytest.mark.parametrize("alone", [False, True])
def test_a_tape_at_full_speed_is_followed(alone: bool) -> None:
    connection = Connection(venue_us=LONG_AGO_US, alone=alone, step_s=0.0001)
    for _ in range(1000):
        connection.venue_us += 5 * 60 * SECOND_US
        connection.trade("A")
        connection.venue_us += 5 * 60 * SECOND_US
        connection.trade("A" if alone else "B")
        assert connection.error_us >= -10 * 60 * SECOND_US
    connection.wait(3)
    assert -2 * SECOND_US <= connection.error_us <= 0
    assert not connection.doubts


@pytest.mark.parametrize("alone", [False, True])
def test_our_own_clock_may_be_hours_behind(alone: bool) -> None:
    connection = Connection(alone=alone, own_us=NOW_US - 3 * HOUR_US)
    connection.trade("A", count=10)
    assert connection.clock.read_us(connection.now_s) is None
    connection.trade("A", count=400)
    assert connection.error_us == 0
    assert connection.clock.behind_us == 3 * HOUR_US
    doubts = len(connection.doubts)
    connection.trade("A", ahead_us=300 * DAY_US)
    connection.trade("A")
    assert connection.error_us == 0
    assert len(connection.doubts) == doubts + 1


def test_our_own_clock_may_be_hours_ahead() -> None:
    connection = Connection(own_us=NOW_US + 5 * HOUR_US)
    connection.trade("A", count=10)
    connection.trade("B", ahead_us=3 * HOUR_US)
    connection.trade("A", count=10)
    assert connection.error_us == 0


def test_a_batch_with_one_wrong_time_gives_the_time_of_the_others() -> None:
    clock = VenueClock()
    clock.observe([trade("A", NOW_US, NOW_US)], 100.0)
    batch = [
        trade("A", NOW_US + 100, NOW_US),
        trade("A", NOW_US + DAY_US, NOW_US),
        trade("B", NOW_US + 50, NOW_US),
    ]
    assert [message for message, _ in clock.observe(batch, 100.1)] == [batch[1]]
    assert clock.read_us(100.1) == NOW_US + 100


def test_trades_that_were_left_unread_for_minutes_move_it_on() -> None:
    connection = Connection()
    connection.trade("A", count=3)
    started_us = connection.venue_us
    connection.wait(180)
    for second in range(180):
        message = trade("A", started_us + second * SECOND_US, connection.own_us)
        connection.doubts += connection.clock.observe([message], connection.now_s)
    assert not connection.doubts
    connection.trade("A")
    assert connection.error_us == 0
