"""What a worker remembers of closes gives the same averages through interruptions and corrections."""

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from db.averages import CandleWindow
from tickplant.averages import AverageSpec, AverageSpecs, average, return_statistics
from tickplant.derived import Average, Statistics
from tickplant.intervals import MINUTE_US
from tickplant.market import Candle, merge
from workers.roles.averages import SymbolAverages

START_US = 1_700_000_040_000_000
SPECS = AverageSpecs(
    (AverageSpec("sma", 3), AverageSpec("wma", 2), AverageSpec("ema", 1)), ("1m",), returns=4
)
WINDOW = SPECS.window("1m")

Rows = dict[int, Candle]


def candle(minute: int, close: int, *, order: int = 30, interval: str = "1m") -> Candle:
    """A candle of one trade, `order` seconds after its open time."""
    at_us = START_US + minute * MINUTE_US + order * 1_000_000
    price = Decimal(close) / 4
    opened = START_US + minute * MINUTE_US
    one = Decimal(1)
    values = (price, price, price, price, one, price, 1, at_us, minute * 100 + order, at_us)
    return Candle("binance", "X", interval, opened, *values, minute * 100 + order)


def remembered(rows: Rows) -> dict[str, CandleWindow]:
    """The last rows, as the database gives them."""
    last = [rows[key] for key in sorted(rows)][-WINDOW:]
    return {
        "1m": CandleWindow(
            [candle.open_time_us for candle in last],
            [float(candle.close) for candle in last],
            [candle.last_event_time_us for candle in last],
            [candle.last_trade_id for candle in last],
        )
    }


def put(rows: Rows, part: Candle) -> None:
    known = rows.get(part.open_time_us)
    rows[part.open_time_us] = merge(known, part) if known else part


def expected(rows: Rows) -> tuple[list[Average], Statistics | None]:
    """Averages and statistics of the newest row, straight from all of them."""
    newest = max(rows)
    closes = [float(rows[key].close) for key in sorted(rows)]
    averages = [
        Average("binance", "X", "1m", newest, spec.name, value)
        for spec in SPECS.averages
        if (value := average(spec, closes)) is not None
    ]
    found = return_statistics(closes, SPECS.returns)
    return averages, Statistics("binance", "X", newest, *found) if found else None


steps = st.lists(
    st.tuples(
        st.integers(1, 3),  # minutes on
        st.integers(1, 400),  # close
        st.lists(  # late parts: minutes back, close, place in the minute
            st.tuples(st.integers(0, 40), st.integers(1, 400), st.sampled_from([10, 29, 31, 50])), max_size=3
        ),
        st.booleans(),  # interrupted
    ),
    max_size=70,
)


@given(steps)
def test_averages_are_those_of_the_rows_whatever_comes_late_or_is_interrupted(
    walk: Iterable[tuple[int, int, list[tuple[int, int, int]], bool]],
) -> None:
    rows: Rows = {}
    symbol = SymbolAverages("binance", "X", SPECS)
    minute, traded = 100, set[tuple[int, int]]()
    for forward, close, late, interrupted in walk:
        minute += forward
        closed = candle(minute, close)
        put(rows, closed)
        assert (symbol.close(closed), symbol.statistics(closed)) == expected(rows)
        for back, price, order in late:
            if (minute - back, order) in traded:
                continue  # no trade comes twice
            traded.add((minute - back, order))
            before = dict(rows)
            part = candle(minute - back, price, order=order)
            put(rows, part)
            told = symbol.correct(part)
            opened = part.open_time_us
            changed = opened not in before or float(before[opened].close) != float(rows[opened].close)
            assert told or not changed
            assert changed or not told or opened < sorted(rows)[-WINDOW]
        if interrupted:
            symbol = SymbolAverages("binance", "X", SPECS, remembered(rows))


def test_only_the_chosen_intervals_are_averaged() -> None:
    specs = AverageSpecs((AverageSpec("sma", 1),), ("5m",))
    symbol = SymbolAverages("binance", "X", specs)
    assert symbol.close(candle(0, 4)) == []
    assert symbol.close(candle(0, 4, interval="1h")) == []
    assert [average.value for average in symbol.close(candle(0, 4, interval="5m"))] == [1.0]
    assert symbol.correct(candle(0, 8, order=59, interval="1h")) is False
    assert symbol.correct(candle(0, 8, order=59, interval="5m")) is True


def test_a_candle_that_is_remembered_may_close_again() -> None:
    symbol = SymbolAverages("binance", "X", SPECS)
    first = [symbol.close(candle(minute, minute)) for minute in range(1, 9)]
    assert symbol.close(candle(8, 8)) == first[-1]
    assert symbol.close(candle(5, 5)) == first[4]
