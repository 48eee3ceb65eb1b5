"""Columns hold, tell and fold exactly what their trades do, one by one."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from columnar import NOW_US, as_trades, bad_decimals, decimals, exactly, trades
from hypothesis import given, settings
from hypothesis import strategies as st

from api.views.trades import trade_view
from tickplant import wire, wire_columns
from tickplant.columns import TradeColumns, concat, from_trades, group_trades
from tickplant.errors import PoisonError
from tickplant.market import Trade, fold, fold_runs
from tickplant.minute_candles import MinuteCandles
from tickplant.trade_rules import ZEROS, split_valid


def copy_row(trade: Trade) -> str:
    """Return a trade in PostgreSQL's format of COPY."""
    times = [
        f"{EPOCH + timedelta(microseconds=time_us):%Y-%m-%d %H:%M:%S.%f}+00"
        for time_us in (trade.event_time_us, trade.ingest_time_us)
    ]
    values = [trade.venue, trade.symbol, str(trade.trade_id), trade.price, trade.size, trade.side or "\\N"]
    return "\t".join(values + times) + "\n"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(trades())
@settings(max_examples=100, deadline=None)
def test_columns_hold_and_fold_what_their_trades_do(some: list[Trade]) -> None:
    columns = from_trades(some)
    assert as_trades([columns]) == [some]
    assert len(columns) == len(some)
    assert exactly(columns.fold()) == exactly(list(fold_runs(some)))
    assert columns.copy_rows() == "".join(map(copy_row, some)).encode()
    assert columns.json_rows() == msgspec.json.encode([trade_view(trade) for trade in some])
    assert columns.valid()


@given(trades(valid=False))
@settings(max_examples=100, deadline=None)
def test_columns_tell_what_their_trades_tell(some: list[Trade]) -> None:
    columns = from_trades(some)
    found = [trade.trade_id for trade in some]
    assert columns.valid() == (not split_valid(some)[1])
    assert columns.ascending == (found == sorted(set(found)))
    assert columns.consecutive == (found == list(range(found[0], found[0] + len(found))))
    assert (columns.lowest_id, columns.highest_id) == (min(found), max(found))
    assert columns.latest_time_us == max(trade.event_time_us for trade in some)
    assert columns.has_zero == any(ZEROS & {trade.price, trade.size} for trade in some)


@given(st.lists(decimals, min_size=1, max_size=60), st.data())
@settings(max_examples=100, deadline=None)
def test_many_trades_fold_as_few_do(prices: list[str], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(decimals, min_size=len(prices), max_size=len(prices)))
    some = [
        Trade("kraken", "X", i, price, size, "buy", NOW_US + i, NOW_US)
        for i, (price, size) in enumerate(zip(prices, sizes, strict=True))
    ]
    assert exactly(from_trades(some).fold()) == exactly(list(fold_runs(some)))


@given(trades(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_part_of_columns_holds_that_part_of_the_trades(some: list[Trade], data: st.DataObject) -> None:
    columns = from_trades(some)
    start, stop = data.draw(st.integers(-15, 15)), data.draw(st.integers(-15, 15))
    assert as_trades([columns.slice(start, stop)]) == [some[start:stop]]
    indices = data.draw(st.lists(st.integers(-len(some), len(some) - 1), max_size=15))
    assert as_trades([columns.select(indices)]) == [[some[i] for i in indices]]
    middle = data.draw(st.integers(1, len(some)))
    parts = [columns.slice(0, middle), columns.slice(middle, len(some)), columns]
    assert as_trades([concat(parts)]) == [[*some, *some]]
    assert columns.shift_ids(-3).ids == [trade.trade_id - 3 for trade in some]
    assert as_trades([columns.with_ids(range(7, 7 + len(some)))])[0][-1].trade_id == 6 + len(some)
    assert as_trades([columns]) == [some]


@given(trades(), st.data())
@settings(max_examples=60, deadline=None)
def test_candles_that_grow_are_those_of_all_trades(some: list[Trade], data: st.DataObject) -> None:
    minutes, columns = MinuteCandles(), from_trades(some)
    assert not minutes
    start = 0
    while start < len(some):
        stop = data.draw(st.integers(start + 1, len(some)))
        minutes.add(columns.slice(start, stop))
        start = stop
    assert minutes
    assert minutes.take() == sorted(fold(some), key=lambda candle: candle.open_time_us)
    assert minutes.take() == []


def test_columns_of_several_symbols_or_none_are_not_joined() -> None:
    one, other = (from_trades([Trade("binance", s, 1, "1", "1", None, NOW_US, NOW_US)]) for s in "ab")
    with pytest.raises(ValueError, match="several symbols"):
        concat([one, other])
    with pytest.raises(ValueError, match="no columns"):
        concat([])
    with pytest.raises(ValueError, match="2 ids for 1 trades"):
        one.with_ids([1, 2])


def test_columns_without_trades_have_no_candles_and_no_rows() -> None:
    none = from_trades([Trade("binance", "a", 1, "1", "1", None, NOW_US, NOW_US)]).slice(1, 1)
    assert (len(none), none.fold(), none.copy_rows(), none.trades()) == (0, [], b"", [])
    assert none.json_rows() == b"[]"
    assert none.valid()
    assert none.consecutive
    assert not none.has_zero


# --- The wire format


@given(st.lists(trades(valid=False), max_size=4))
@settings(max_examples=100, deadline=None)
def test_an_entry_gives_back_what_was_put_in(groups: list[list[Trade]]) -> None:
    columns = group_trades([trade for group in groups for trade in group])
    payload = wire_columns.encode_columns(columns)
    assert as_trades(wire_columns.decode_columns(payload)) == as_trades(columns)
    found, broken = wire_columns.decode_each_column(payload)
    assert (as_trades(found), broken) == (as_trades(columns), [])


@given(st.lists(trades(), max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_the_former_version_wrote_is_read(groups: list[list[Trade]]) -> None:
    some = [trade for group in groups for trade in group]
    payload = wire.encode_trades(some)
    assert as_trades(wire_columns.decode_columns(payload)) == as_trades(group_trades(some))
    assert wire_columns.decode_each_column(payload)[1] == []


def test_runs_of_one_symbol_are_joined_in_their_order() -> None:
    some = [Trade("binance", s, i, "1", "1", None, NOW_US, NOW_US) for i, s in enumerate("aabba")]
    runs = [from_trades(some[:2]), from_trades(some[2:4]), from_trades(some[4:])]
    found = wire_columns.decode_columns(wire_columns.encode_columns(runs))
    assert as_trades(found) == [[some[0], some[1], some[4]], some[2:4]]


def test_a_version_to_come_is_refused_by_its_number() -> None:
    with pytest.raises(PoisonError, match="version 03"):
        wire_columns.decode_columns(b"\x92\x03\x90")


@given(st.lists(trades(), min_size=1, max_size=2), st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_entry_is_poison_or_trades(groups: list[list[Trade]], data: st.DataObject) -> None:
    payload = wire_columns.encode_columns(group_trades([trade for group in groups for trade in group]))
    start = data.draw(st.integers(0, len(payload)))
    stop = data.draw(st.integers(start, min(len(payload), start + 4)))
    damaged = payload[:start] + data.draw(st.binary(max_size=4)) + payload[stop:]
    try:
        found = wire_columns.decode_columns(damaged)
    except PoisonError:
        pass
    else:
        as_trades(found)
        wire_columns.encode_columns(found)
    try:
        found, broken = wire_columns.decode_each_column(damaged)
    except PoisonError:
        return
    as_trades(found)
    assert all(isinstance(part, bytes) and reason for part, reason in broken)


def test_every_truncation_of_an_entry_is_poison() -> None:
    some = [Trade("binance", "a", i * i, f"{i}.5", "1", "buy", NOW_US + i, NOW_US + i % 2) for i in range(40)]
    payload = wire_columns.encode_columns([from_trades(some)])
    for length in range(len(payload)):
        with pytest.raises(PoisonError):
            wire_columns.decode_columns(payload[:length])


def test_one_malformed_trade_takes_none_of_its_neighbours_along() -> None:
    run = ["binance", "a", [1, "2", 3, 4, 5, 6], ["1"] * 3 + [7] + ["1"] * 2, ["1"] * 6, "bs-bxb"]
    times = [NOW_US, [0, 1, 2, 3, 4, None], NOW_US, None]
    entry = wire_columns._encode((2, [[*run, *times], ["binance"], ["b", "c", 1, ["1"], [], "b", *times]]))
    with pytest.raises(PoisonError):
        wire_columns.decode_columns(entry)
    found, broken = wire_columns.decode_each_column(entry)
    assert [trade.trade_id for trade in found[0].trades()] == [1, 3]
    assert [reason.partition(":")[0] for _, reason in broken] == ["not a trade"] * 4 + [
        "not the trades of a symbol"
    ] * 2
    assert wire_columns._decode_any(broken[0][0])[2] == "2"


@given(bad_decimals)
def test_bad_decimals_are_bad_in_columns_too(text: str) -> None:
    assert not TradeColumns("a", "b", [1], [text], ["1"], "b", [NOW_US], [NOW_US]).valid()
