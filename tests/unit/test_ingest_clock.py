"""The venue's time as its trades tell it."""

from ingest.venue_clock import CLOCK_GRACE_US, VenueClock


def test_there_is_no_time_before_the_first_trade() -> None:
    assert VenueClock().read_us(now_s=100.0) is None


def test_it_stands_at_the_latest_trade_and_goes_on_after_the_grace() -> None:
    clock = VenueClock()
    clock.hear(5_000_000, now_s=100.0)
    assert clock.read_us(100.0) == 5_000_000
    assert clock.read_us(100.0 + CLOCK_GRACE_US / 1e6) == 5_000_000
    assert clock.read_us(100.0 + CLOCK_GRACE_US / 1e6 + 3) == 8_000_000


def test_an_older_trade_does_not_turn_it_back() -> None:
    clock = VenueClock()
    clock.hear(5_000_000, now_s=100.0)
    clock.hear(4_000_000, now_s=101.0)
    assert clock.read_us(101.0) == 5_000_000
