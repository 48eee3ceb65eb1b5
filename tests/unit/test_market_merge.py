"""A candle is a merge: order, batches and grouping don't matter, and nothing is rounded."""

from decimal import Decimal, Inexact, getcontext
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.intervals import INTERVALS, MINUTE_US, floor
from tickplant.market import EXACT, Candle, Side, SymbolId, Trade, fold, is_decimal, merge, rebucket

START_US = 1_700_000_040_000_000

digits = st.integers(min_value=0, max_value=10**18)
SIDES: tuple[Side, Side] = ("buy", "sell")


@st.composite
def decimals(draw: st.DrawFn) -> str:
    places = draw(st.integers(min_value=0, max_value=18))
    text = str(draw(digits)).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    ids = draw(st.lists(st.integers(1, 10_000), unique=True, min_size=1, max_size=40))
    sides = st.sampled_from([*SIDES, *draw(st.sampled_from(((), (), (None,))))])
    return [
        Trade(
            "binance",
            "BTCUSDT",
            trade_id,
            draw(decimals()),
            draw(decimals()),
            draw(sides),
            START_US + draw(st.integers(0, 3 * MINUTE_US)),
            0,
        )
        for trade_id in ids
    ]


def by_time(candles: list[Candle]) -> list[Candle]:
    return sorted(candles, key=lambda candle: candle.open_time_us)


def merge_each(members: list[Trade]) -> list[Candle]:
    """Merge candles of one trade, one after the other: the rule itself, without the quick way."""
    merged: dict[int, Candle] = {}
    for candle in (fold([trade])[0] for trade in members):
        known = merged.get(candle.open_time_us)
        merged[candle.open_time_us] = merge(known, candle) if known else candle
    return by_time(list(merged.values()))


@given(trades())
def test_a_fold_equals_merging_trade_by_trade(members: list[Trade]) -> None:
    assert by_time(fold(members)) == merge_each(members)


@given(trades(), st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(members: list[Trade], random: object) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert by_time(fold(shuffled)) == by_time(fold(members))


@given(trades(), st.lists(st.integers(0, 40), max_size=5))
def test_any_split_into_batches_merges_to_the_same(members: list[Trade], cuts: list[int]) -> None:
    edges = sorted({0, len(members), *(min(cut, len(members)) for cut in cuts)})
    merged: dict[int, Candle] = {}
    for start, end in pairwise(edges):
        for candle in fold(members[start:end]):
            known = merged.get(candle.open_time_us)
            merged[candle.open_time_us] = merge(known, candle) if known else candle
    assert by_time(list(merged.values())) == by_time(fold(members))


@given(trades())
def test_merging_is_associative_and_commutative(members: list[Trade]) -> None:
    single = [rebucket(fold([trade])[0], "1w", INTERVALS["1w"]) for trade in members[:3]]
    if len(single) < 3:
        return
    a, b, c = single
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(trades())
def test_longer_intervals_merged_from_minutes_equal_those_folded_from_trades(members: list[Trade]) -> None:
    for name, length in INTERVALS.items():
        merged: dict[int, Candle] = {}
        for minute in fold(members):
            part = rebucket(minute, name, length)
            known = merged.get(part.open_time_us)
            merged[part.open_time_us] = merge(known, part) if known else part
        assert by_time(list(merged.values())) == by_time(fold(members, name, length))


@given(trades())
def test_taker_buy_volumes_are_sums_over_trades_whose_aggressor_bought(members: list[Trade]) -> None:
    for candle in fold(members, "1w", INTERVALS["1w"]):
        inside = [t for t in members if floor(t.event_time_us, INTERVALS["1w"]) == candle.open_time_us]
        bought = [trade for trade in inside if trade.side == "buy"]
        volume = quote_volume = Decimal(0)
        for trade in bought:
            volume = EXACT.add(volume, Decimal(trade.size))
            value = EXACT.multiply(Decimal(trade.price), Decimal(trade.size))
            quote_volume = EXACT.add(quote_volume, value)
        known = all(trade.side for trade in inside)
        assert candle.taker_buy_volume == (volume if known else None)
        assert candle.taker_buy_quote_volume == (quote_volume if known else None)


def test_a_candle_of_the_former_version_is_still_read() -> None:
    (candle,) = fold([Trade("binance", "X", 1, "2", "3", "sell", START_US, 0)])
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(candle))
    former = msgspec.msgpack.encode(written[:18])
    expected = msgspec.structs.replace(candle, taker_buy_volume=None, taker_buy_quote_volume=None)
    assert msgspec.msgpack.decode(former, type=Candle) == expected


def test_sums_stay_exact_where_the_default_context_would_round() -> None:
    price, size = "9" * 19 + "." + "9" * 20, "0." + "3" * 38
    members = [Trade("binance", "X", i, price, size, None, START_US, 0) for i in range(1, 1001)]
    (candle,) = fold(members)
    assert candle.quote_volume == EXACT.multiply(EXACT.multiply(Decimal(price), Decimal(size)), Decimal(1000))
    assert len(candle.quote_volume.as_tuple().digits) > getcontext().prec


def test_the_exact_context_raises_rather_than_rounds() -> None:
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))


@pytest.mark.parametrize(
    ("interval", "time", "expected"),
    [
        ("1m", 119, 60),
        ("1d", 86_400 + 5, 86_400),
        ("1w", 1_723_161_255, 1_722_816_000),  # Friday 2024-08-09 lies in the week from Monday 2024-08-05
        ("1w", 1_722_816_000, 1_722_816_000),
        ("1w", 1_722_815_999, 1_722_211_200),
        ("1m", -1, -60),
    ],
)
def test_buckets_start_at_their_boundaries(interval: str, time: int, expected: int) -> None:
    assert floor(time * 1_000_000, INTERVALS[interval]) == expected * 1_000_000


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "+1", "1e5", "NaN", "Infinity", "1.2.3", " 1", "1\n", "1_0", "٣", "1" * 41]
)
def test_text_that_is_no_plain_decimal_is_refused(text: str) -> None:
    assert not is_decimal(text)


@pytest.mark.parametrize("text", ["0", "1", "61837.63000000", "0.00000001", "1" * 40])
def test_plain_decimals_are_accepted(text: str) -> None:
    assert is_decimal(text)


def test_a_symbol_is_written_with_its_venue() -> None:
    assert SymbolId.parse("Binance:BTCUSDT") == SymbolId("binance", "BTCUSDT")
    assert str(SymbolId("kraken", "BTC/USD")) == "kraken:BTC/USD"
    for text in ("BTCUSDT", ":BTCUSDT", "binance:", "binance:BTC USDT", ""):
        with pytest.raises(ValueError, match="venue:SYMBOL"):
            SymbolId.parse(text)
