"""When a silence is suspicious."""

from ingest.silence_timer import SilenceTimer, TradeTimer


def beaten(per_s: int, seconds: int = 300) -> SilenceTimer:
    pulse = SilenceTimer()
    for _ in range(seconds):
        pulse.count(per_s)
    return pulse


def test_a_busy_socket_is_missed_soon_and_a_quiet_one_late() -> None:
    assert beaten(1_000).deadline_s == 5
    assert 24 < beaten(2).deadline_s < 26
    assert SilenceTimer().deadline_s == 300


def test_a_rare_trade_does_not_make_silence_suspicious() -> None:
    pulse = SilenceTimer()
    for second in range(600):
        pulse.count(1 if second % 60 == 0 else 0)
    assert pulse.deadline_s == 300


def test_a_market_that_goes_to_sleep_is_waited_for_ever_longer() -> None:
    pulse = beaten(100)
    before = pulse.deadline_s
    for _ in range(600):
        pulse.count(0)
    assert before == 5
    assert pulse.deadline_s == 300


def test_replacements_that_bring_no_trades_become_rarer_until_trades_arrive() -> None:
    timer = TradeTimer()
    for _ in range(300):
        timer.count(100)
    assert timer.deadline_s == 60
    deadlines = []
    for _ in range(8):
        timer.note_replaced()
        timer.count(0)
        deadlines.append(timer.deadline_s)
    assert deadlines == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    timer.count(1)
    assert timer.deadline_s == 60
