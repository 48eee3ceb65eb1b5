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


def test_batches_of_past_trades_alone_are_larger_and_later_and_a_live_trade_ends_that() -> None:
    policy = CommitPolicy(interval_s=1.0, trades=10)
    schedule, state = CommitSchedule(policy, 0.0), make_state()
    schedule.note_first_pending(0.0)
    past = [trade(100 + number, at_us=START_US + number) for number in range(12)]
    state.absorb("1-0", {wire.HISTORICAL: wire.encode_trades(past)}, published="0-0")
    assert not schedule.commit_due(state, 0.5, committing=False)
    assert not schedule.commit_due(state, 2.9, committing=False)
    assert schedule.commit_due(state, 3.0, committing=False)
    older = [trade(number, at_us=START_US + number) for number in range(70, 100)]
    state.absorb("1-1", {wire.HISTORICAL: wire.encode_trades(older)}, published="0-0")
    assert schedule.commit_due(state, 0.5, committing=False)
    state.take_batch()
    state.absorb("1-2", {wire.HISTORICAL: wire.encode_trades([trade(69, at_us=START_US)])}, published="0-0")
    assert not schedule.commit_due(state, 2.0, committing=False)
    live = {wire.TRADES: wire.encode_trades([trade(112, at_us=START_US + 12)])}
    assert state.absorb_trades([("1-3", live)], published="0-0") == 1
    assert schedule.commit_due(state, 2.0, committing=False)
