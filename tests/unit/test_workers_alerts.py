"""Which alerts fire, at which trade, whatever the batches and interruptions."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from alerting import START_US, Model, alert, runs, trade
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from db.alerts.states import MinuteClose
from tickplant.derived import Alert, AlertChange, AlertState, Firing
from tickplant.intervals import MINUTE_US, SECOND_US, floor
from tickplant.market import Trade, fold
from workers.roles.alerts.closes import MAX_CLOSES, MinuteCloses
from workers.roles.alerts.symbol import MAX_DELETED, SymbolAlerts
from workers.roles.events import Closed, Last


def made(*alerts: Alert, symbol: SymbolAlerts | None = None) -> SymbolAlerts:
    symbol = symbol or SymbolAlerts()
    for definition in alerts:
        symbol.change(AlertChange(definition))
    return symbol


def feed(symbol: SymbolAlerts, trades: Sequence[Trade]) -> list[Firing]:
    return [firing for run in runs(trades) for firing in symbol.run(run)]


def prices(symbol: SymbolAlerts, *texts: str, first_id: int = 1) -> list[int | None]:
    """Trades of these prices, one a second, in one batch: the ids of those that fire."""
    trades = [trade(number, text) for number, text in enumerate(texts, first_id)]
    return [firing.trade_id for firing in feed(symbol, trades)]


def close(symbol: SymbolAlerts, trades: Sequence[Trade]) -> None:
    """Close the minute of these trades."""
    (candle,) = fold(trades)
    last = Last(candle.last_trade_id, str(candle.close), candle.last_event_time_us)
    symbol.closed(Closed(candle.open_time_us + MINUTE_US, [candle], [], None, last))


def test_deleted_alerts_are_remembered_up_to_a_number() -> None:
    symbol = SymbolAlerts()
    for number in range(MAX_DELETED + 5):
        definition = alert(f"{number}", price="10")
        symbol.change(AlertChange(definition))
        symbol.change(AlertChange(replace(definition, version=2), deleted=True))
    assert len(symbol.take().states) == MAX_DELETED + 5  # type: ignore[union-attr]
    symbol.change(AlertChange(alert(f"{MAX_DELETED}", price="10")))  # late, and passed over
    assert symbol.take() is None
    assert prices(symbol, "9", "11") == []
    symbol.change(AlertChange(alert("0", price="10")))
    assert prices(symbol, "9", "11") == [2]


# what each kind means


def test_above_fires_once_at_the_first_trade_that_is_above() -> None:
    symbol = made(alert(price="10", note="sell"))
    (firing,) = feed(symbol, [trade(1, "9"), trade(2, "10"), trade(3, "10.01"), trade(4, "11")])
    assert firing == Firing(
        *("a", 1, "default", "binance", "AAAUSDT", "above", START_US + 3 * SECOND_US),
        *(3, "10.01", "10.01", "10", "sell"),
    )
    assert prices(symbol, "9", "11") == []


def test_a_level_that_is_passed_already_fires_at_the_next_trade() -> None:
    symbol = SymbolAlerts()
    assert prices(symbol, "12") == []
    made(alert("up", "above", "10"), alert("down", "below", "13"), symbol=symbol)
    assert prices(symbol, "12", "12", first_id=2) == [2, 2]


def test_a_crossing_needs_a_trade_on_the_other_side_after_the_alert_was_made() -> None:
    symbol = SymbolAlerts()
    assert prices(symbol, "9") == []
    made(alert("up", "crosses_above", "10"), alert("down", "crosses_below", "10"), symbol=symbol)
    assert prices(symbol, "11", "10", "11", first_id=2) == []  # equal is neither side
    assert prices(symbol, "9", "11", first_id=5) == [5, 6]


def test_a_repeating_alert_fires_again_only_after_it_has_gone_back() -> None:
    symbol = made(alert(price="100", repeat=True, hysteresis="0.1"))
    assert prices(symbol, "101", "95", "101", "90", "101", "89.9", "101") == [1, 7]


def test_triggers_within_the_cooldown_are_suppressed() -> None:
    symbol = made(alert(price="100", repeat=True, cooldown_s=10))
    assert prices(symbol, "101", "99", "101", "101", *["101"] * 10, "99", "101") == [1, 16]


def test_a_trade_with_an_earlier_time_than_the_last_firing_fires_where_there_is_no_cooldown() -> None:
    symbol = made(alert(price="100", repeat=True))
    later_us, earlier_us = START_US + 9 * SECOND_US, START_US + 8 * SECOND_US
    trades = [trade(1, "101", later_us), trade(2, "99", earlier_us), trade(3, "101", earlier_us)]
    assert [firing.trade_id for firing in feed(symbol, trades)] == [1, 3]


def test_percent_change_compares_with_the_close_one_window_before_the_minute() -> None:
    rise = alert("rise", "percent_change", percent="10", window_s=60)
    fall = alert("fall", "percent_change", percent="-10", window_s=60)
    symbol = made(rise, fall)
    first = [trade(1, "90"), trade(2, "100")]
    assert feed(symbol, first) == []
    close(symbol, first)
    second = [trade(3, "150", START_US + MINUTE_US)]
    assert feed(symbol, second) == []  # a minute before this minute's start nothing had closed
    close(symbol, second)
    third = [
        trade(number, text, START_US + 2 * MINUTE_US) for number, text in enumerate(("110", "110.01"), 4)
    ]
    (firing,) = feed(symbol, third)
    assert (firing.trade_id, firing.value, firing.threshold) == (5, "10.010000", "10")
    close(symbol, third)
    (firing,) = feed(symbol, [trade(6, "134.999999999", START_US + 3 * MINUTE_US)])
    assert (firing.alert_id, firing.value) == ("fall", "-10.000001")


def test_the_clock_and_the_next_trade_report_a_silence_at_the_same_moment() -> None:
    for clocks in ([], [61], [60, 70], [59]):
        symbol = made(alert("long", "silence", silence_s=60), alert("never", "silence", silence_s=90))
        feed(symbol, [trade(1, "5", START_US)])
        fired = [firing for s in clocks for firing in symbol.advance_clock(START_US + s * SECOND_US)]
        fired += feed(symbol, [trade(2, "5", START_US + 80 * SECOND_US)])
        assert [(firing.alert_id, firing.event_time_us, firing.trade_id) for firing in fired] == [
            ("long", START_US + 60 * SECOND_US, None)
        ]


def test_a_repeating_silence_alert_fires_once_each_time() -> None:
    symbol = made(alert("s", "silence", silence_s=5, repeat=True))
    times = [0, 1, 7, 8, 14, 30]
    trades = [trade(number, "5", START_US + s * SECOND_US) for number, s in enumerate(times)]
    assert [(firing.event_time_us - START_US) // SECOND_US for firing in feed(symbol, trades)] == [6, 13, 19]
    assert [firing.number for firing in symbol.advance_clock(START_US + 90 * SECOND_US)] == [4]
    assert symbol.advance_clock(START_US + 180 * SECOND_US) == []


def test_a_gap_triggers_every_gap_alert() -> None:
    symbol = made(alert("once", "gap"), alert("always", "gap", repeat=True, cooldown_s=5))
    fired = [symbol.gap(first, first + 1, START_US + s * SECOND_US) for first, s in ((5, 0), (9, 4), (20, 5))]
    assert [[(firing.alert_id, firing.value) for firing in each] for each in fired] == [
        [("always", "5"), ("once", "5")],
        [],
        [("always", "20")],
    ]


def test_firings_are_in_order_of_trades_and_within_one_in_order_of_prices() -> None:
    symbol = made(
        *(alert(f"up{price}", "above", str(price)) for price in (30, 10, 20)), alert("d", "below", "9")
    )
    fired = feed(symbol, [trade(1, "9"), trade(2, "25"), trade(3, "35"), trade(4, "1")])
    assert [(firing.alert_id, firing.trade_id) for firing in fired] == [
        ("up10", 2),
        ("up20", 2),
        ("up30", 3),
        ("d", 4),
    ]


# changes


def test_a_change_of_the_note_leaves_a_fired_alert_fired_and_a_reset_alert_keeps_its_count() -> None:
    symbol = made(alert(price="10"))
    assert prices(symbol, "11") == [1]
    made(alert(price="10", version=2, note="new"), symbol=symbol)
    assert prices(symbol, "11") == []
    made(alert(price="10", version=3, begun=3), symbol=symbol)
    (firing,) = feed(symbol, [trade(2, "11")])
    assert firing.number == 2


def test_an_older_version_changes_nothing_even_after_the_alert_was_deleted() -> None:
    symbol = made(alert(price="10", version=2))
    made(alert(price="5", version=1), symbol=symbol)
    assert prices(symbol, "7") == []
    symbol.change(AlertChange(alert(price="10", version=4), deleted=True))
    made(alert(price="5", version=3, begun=3), symbol=symbol)
    assert prices(symbol, "70") == []


def test_an_inactive_alert_is_silent_until_it_is_made_active() -> None:
    symbol = made(alert(price="10", active=False))
    assert prices(symbol, "11") == []
    made(alert(price="10", version=2, begun=2), symbol=symbol)
    assert prices(symbol, "11") == [1]


def test_only_what_changed_is_to_be_stored() -> None:
    symbol = made(alert("a", price="10"), alert("b", price="20"))
    assert symbol.take() is not None
    assert symbol.take() is None
    assert prices(symbol, "9") == []
    assert symbol.take() is None
    (firing,) = feed(symbol, [trade(2, "11")])
    taken = symbol.take()
    assert taken is not None
    assert taken.firings == [firing]
    assert [(state.alert.alert_id, state.done, state.number) for state in taken.states] == [("a", True, 1)]


def test_closes_know_the_price_of_a_day_ago_and_take_corrections() -> None:
    minutes = [
        MinuteClose(number * MINUTE_US, Decimal(number), number, 5) for number in range(1, 2 * MAX_CLOSES)
    ]
    closes = MinuteCloses()
    for close in minutes:
        closes.put(close)
    newest_us = minutes[-1].time_us
    day_ago_us = newest_us - 24 * 60 * MINUTE_US
    assert closes.as_of(day_ago_us + 1) == day_ago_us // MINUTE_US
    assert closes.as_of(day_ago_us - 1) is None
    before = minutes[-2]
    closes.put(before._replace(price=Decimal("0.5"), last_trade_id=6))
    assert closes.as_of(newest_us - 1) == Decimal("0.5")
    closes.put(before._replace(price=Decimal("0.7"), last_trade_id=4))
    assert closes.as_of(newest_us - 1) == Decimal("0.5")
    assert MinuteCloses(minutes).as_of(day_ago_us) == closes.as_of(day_ago_us)


# against the definitions, by chance

PRICE = st.integers(8, 13).map(str)
HYSTERESIS = st.sampled_from(["0", "0.1", "0.25"])
REPEATING = {"repeat": st.booleans(), "cooldown_s": st.sampled_from([0, 3, 90]), "hysteresis": HYSTERESIS}


@st.composite
def alerts(draw: st.DrawFn) -> list[Alert]:
    made = []
    for number in range(draw(st.integers(1, 12))):
        kind = draw(
            st.sampled_from(["above", "below", "crosses_above", "crosses_below", "percent", "silence"])
        )
        fields: dict[str, Any] = {name: draw(values) for name, values in REPEATING.items()}
        if kind == "percent":
            percent = draw(st.sampled_from(["10", "-10", "25", "0.5"]))
            window_s = draw(st.sampled_from([60, 120, 180]))
            made.append(alert(str(number), "percent_change", percent=percent, window_s=window_s, **fields))
        elif kind == "silence":
            made.append(
                alert(str(number), "silence", silence_s=draw(st.sampled_from([5, 40, 100])), **fields)
            )
        else:
            made.append(alert(str(number), kind, draw(PRICE), **fields))
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[Trade | int]:
    """Trades and times of the venue's clock, in order."""
    events: list[Trade | int] = []
    time_us = START_US
    for number in range(1, draw(st.integers(1, 60))):
        step_us = draw(st.sampled_from([-1, 0, 1, 1, 7, 30, 70])) * SECOND_US
        # Times may go back a little where ids rise.
        time_us += step_us if floor(time_us + step_us, MINUTE_US) >= floor(time_us, MINUTE_US) else 0
        events.append(trade(number, draw(PRICE), time_us))
        if draw(st.integers(0, 9)) == 0:
            events.append(time_us + draw(st.sampled_from([0, 20, 45])) * SECOND_US)
            time_us = max(time_us, *[event for event in events[-1:] if isinstance(event, int)])
    return events


class Worker:
    """Closes minutes, passes runs to the alerts, and restarts from the saved state, as a partition does."""

    def __init__(self) -> None:
        self.states: dict[str, AlertState] = {}
        self.trades: list[Trade] = []
        self.stored: list[Firing] = []
        self.closed_us = START_US
        self.symbol = SymbolAlerts()

    def feed(self, trades: Sequence[Trade]) -> list[Firing]:
        fired = []
        for run in runs(trades):
            self._close(run.candle.open_time_us)
            fired += self.symbol.run(run)
            self.trades += run.trades
        return fired

    def _close(self, until_us: int) -> None:
        for candle in fold(self.trades):
            if self.closed_us < candle.open_time_us + MINUTE_US <= until_us:
                self.closed_us = candle.open_time_us + MINUTE_US
                last = Last(candle.last_trade_id, str(candle.close), candle.last_event_time_us)
                self.symbol.closed(Closed(self.closed_us, [candle], [], None, last))

    def commit(self) -> None:
        if taken := self.symbol.take():
            self.states |= {state.alert.alert_id: state for state in taken.states}
            self.stored += taken.firings

    def restart(self) -> None:
        closed = [trade for trade in self.trades if trade.event_time_us < self.closed_us]
        closes = [
            MinuteClose(
                candle.open_time_us + MINUTE_US,
                candle.close,
                candle.last_event_time_us,
                candle.last_trade_id,
            )
            for candle in fold(closed)
        ]
        last_us = max((trade.event_time_us for trade in self.trades), default=None)
        self.symbol = SymbolAlerts(self.states.values(), closes, last_us)


@given(alerts(), histories(), st.data())
def test_firings_follow_the_definitions_in_any_batches_and_after_interruptions(
    wanted: list[Alert], events: list[Trade | int], data: st.DataObject
) -> None:
    worker = Worker()
    made(*wanted, symbol=worker.symbol)
    models = [Model(alert) for alert in wanted]
    batch: list[Trade] = []
    fired: list[Firing] = []
    for event in events:
        for model in models:
            model.advance_clock(event) if isinstance(event, int) else model.take(event)
        if isinstance(event, int):
            fired += worker.feed(batch) + worker.symbol.advance_clock(event)
            batch = []
        else:
            batch.append(event)
        if data.draw(st.integers(0, 5)) == 0:
            fired += worker.feed(batch)
            batch = []
            worker.commit()
            if data.draw(st.booleans()):
                worker.restart()
    fired += worker.feed(batch)
    worker.commit()
    assert fired == worker.stored
    plain = sorted((replace(firing, value=None, threshold=None) for firing in fired), key=order)
    assert plain == sorted((firing for model in models for firing in model.fired), key=order)
    trade_ids = [firing.trade_id for firing in fired if firing.trade_id is not None]
    assert trade_ids == sorted(trade_ids)


def order(firing: Firing) -> tuple[str, int]:
    return firing.alert_id, firing.number
