"""What a worker holds of a symbol gives the same rows however its trades arrive and are committed."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tickplant.columns import from_trades
from tickplant.intervals import INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, Trade, fold, merge, rebucket
from workers.symbol_state import SymbolState

START_US = 1_700_000_040_000_000
Row = tuple[str, int]


def trade(trade_id: int, at_us: int) -> Trade:
    return Trade("binance", "X", trade_id, str(100 + trade_id % 5), "1.5", "buy", at_us, 0)


def merged(rows: dict[Row, Candle], state: SymbolState) -> dict[Row, Candle]:
    """Return what the view of candles shows: the watermark's minute is part of the longer candles, too."""
    shown = dict(rows)
    minute = rows.get(("1m", floor(state.watermark_us, MINUTE_US)))
    for name, length in INTERVALS.items() if minute else ():
        if minute and name != "1m":
            stored(shown, [rebucket(minute, name, length)])
    return shown


def stored(rows: dict[Row, Candle], parts: Iterable[Candle]) -> None:
    """Merge parts into rows, as the database does."""
    for part in parts:
        key = (part.interval, part.open_time_us)
        rows[key] = merge(rows[key], part) if key in rows else part


def absorb(state: SymbolState, trades: list[Trade]) -> Sequence[Trade]:
    new, _ = state.register(trades)
    if new:
        columns = from_trades(new)
        state.fold(columns, columns.fold())
    return new


times = st.lists(st.integers(0, 12 * MINUTE_US), min_size=1, max_size=60)


@given(times, st.lists(st.integers(0, 60), max_size=6), st.lists(st.integers(0, 60), max_size=4))
def test_rows_do_not_depend_on_batches_or_commits(
    at: list[int], batch_cuts: list[int], commit_cuts: list[int]
) -> None:
    trades = [trade(i + 1, START_US + at_us) for i, at_us in enumerate(at)]
    rows: dict[Row, Candle] = {}
    state = SymbolState("binance", "X")
    edges = sorted({0, len(trades), *(min(cut, len(trades)) for cut in batch_cuts + commit_cuts)})
    for start, end in pairwise(edges):
        absorb(state, trades[start:end])
        if end in commit_cuts:
            stored(rows, state.take_parts())
    stored(rows, state.take_parts())

    one_by_one: dict[Row, Candle] = {}
    other = SymbolState("binance", "X")
    for member in trades:
        absorb(other, [member])
        stored(one_by_one, other.take_parts())
    assert rows == one_by_one  # revisions included
    expected = {
        (candle.interval, candle.open_time_us): candle
        for name, length in INTERVALS.items()
        for candle in fold(trades, name, length)
    }
    shown = merged(rows, state)
    assert {key: without_revision(candle) for key, candle in shown.items()} == expected


@given(times, st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_after_every_commit_longer_rows_hold_exactly_the_minutes_that_have_ended(
    at: list[int], commits: set[int], clocks: set[int], restarts: set[int]
) -> None:
    rows: dict[Row, Candle] = {}
    state = SymbolState("binance", "X")
    committed: list[Trade] = []
    for i, at_us in enumerate(at):
        committed.append(trade(i + 1, START_US + at_us))
        absorb(state, committed[-1:])
        if i in clocks:
            state.advance_clock(state.watermark_us + 25_000_000)
        if i not in commits:
            continue
        stored(rows, state.take_parts())
        minute_us = floor(state.watermark_us, MINUTE_US)
        ended = [trade for trade in committed if trade.event_time_us < minute_us]
        expected = {
            (candle.interval, candle.open_time_us): candle
            for name, length in INTERVALS.items()
            for candle in fold(committed if name == "1m" else ended, name, length)
        }
        assert {key: without_revision(candle) for key, candle in rows.items()} == expected
        if i in restarts:
            state = restarted(state, rows)


def restarted(state: SymbolState, rows: dict[Row, Candle]) -> SymbolState:
    """Return a symbol's state as its next owner restores it."""
    restored = SymbolState("binance", "X")
    restored.restore(state.ledger, state.watermark_us, state.last_us)
    for candle in merged(rows, state).values():
        if candle.open_time_us + INTERVALS[candle.interval] > state.watermark_us:
            restored.restore_open(candle)
    return restored


@given(times, st.dictionaries(st.integers(0, 60), st.booleans()))
def test_what_is_published_while_open_is_what_a_row_would_hold(
    at: list[int], publications: dict[int, bool]
) -> None:
    """Also after publications of 1m candles alone (False) and of all (True)."""
    trades = [trade(i + 1, START_US + at_us) for i, at_us in enumerate(sorted(at))]
    rows: dict[Row, Candle] = {}
    state = SymbolState("binance", "X")
    for i, member in enumerate(trades):
        absorb(state, [member])
        if i % 3 == 0:
            stored(rows, state.take_parts())
        if i in publications and i < len(trades) - 1:
            taken = state.take_open(longer=publications[i])
            assert publications[i] or {candle.interval for candle in taken} <= {"1m"}
    published = {(candle.interval, candle.open_time_us): candle for candle in state.take_open(longer=True)}
    stored(rows, state.take_parts())
    assert published.keys() == {
        (name, floor(trades[-1].event_time_us, length)) for name, length in INTERVALS.items()
    }
    for key, candle in published.items():
        assert candle == merged(rows, state)[key]


def test_longer_candles_that_were_left_out_are_published_later_even_without_another_trade() -> None:
    state = SymbolState("binance", "X")
    absorb(state, [trade(1, START_US), trade(2, START_US + 1)])
    assert [candle.interval for candle in state.take_open(longer=False)] == ["1m"]
    longer = state.take_open(longer=True)
    assert [candle.interval for candle in longer] == [name for name in INTERVALS if name != "1m"]
    assert {candle.trade_count for candle in longer} == {2}
    assert state.take_open(longer=True) == []


def test_a_late_trade_raises_the_revision_only_where_the_candle_had_closed() -> None:
    state = SymbolState("binance", "X")
    absorb(state, [trade(1, START_US), trade(3, START_US + 6 * MINUTE_US)])
    state.take_parts()
    absorb(state, [trade(2, START_US + 1)])
    revisions = {part.interval: part.revision for part in state.take_parts()}
    assert revisions["1m"] == revisions["5m"] == 1
    assert revisions["1d"] == revisions["1w"] == 0


def test_a_duplicate_changes_nothing() -> None:
    state = SymbolState("binance", "X")
    first = trade(1, START_US)
    assert list(absorb(state, [first])) == [first]
    state.take_parts()
    assert list(absorb(state, [first])) == []
    assert state.take_parts() == []


def without_revision(candle: Candle) -> Candle:
    return structs.replace(candle, revision=0)


def test_a_gap_is_never_dated_later_than_its_trades() -> None:
    def trades(*ids: int) -> list[Trade]:
        return [Trade("binance", "X", i, "1", "1", "buy", 10**15 + i, 10**15 + i) for i in ids]

    state = SymbolState("binance", "X")
    for ids, after in (((1_000, 1_002), 1_000), ((1_003, 1_010), 1_002), ((500,), 500), ((1_020,), 1_010)):
        absorb(state, trades(*ids))
        assert state.gaps_after_us == 10**15 + after
        state.take_parts()
