"""When open candles are published, and how long a read may wait for them."""

from working import START_US, make_state, trade

from tickplant import wire
from workers.commit_schedule import CommitPolicy, CommitSchedule

POLICY = CommitPolicy(interval_s=10.0, trades=1_000)


def test_longer_candles_are_published_less_often_and_a_read_does_not_outlast_them() -> None:
    schedule, state = CommitSchedule(POLICY, 0.0), make_state()
    schedule.note_candles(0.0, longer=True)
    schedule.note_first_pending(0.0)
    state.absorb("1-0", {wire.TRADES: wire.encode_trades([trade(1, at_us=START_US)])}, published="0-0")
    assert schedule.candles_due(0.06)
    assert not schedule.longer_candles_due(0.06)
    assert schedule.block_ms(state, 0.0, committing=False) == 50

    update = state.take_live(candles=True, longer_candles=False)
    assert update is not None
    assert [candle.interval for candle in update.candles] == ["1m"]
    schedule.note_candles(0.0625, longer=False)
    assert not state.candles_changed
    assert state.longer_candles_changed
    assert schedule.block_ms(state, 0.0625, committing=False) == 187

    assert schedule.longer_candles_due(0.25)
    update = state.take_live(candles=True, longer_candles=True)
    assert update is not None
    assert len(update.candles) == 6
    assert not state.longer_candles_changed
    assert state.take_live(candles=True, longer_candles=True) is None
