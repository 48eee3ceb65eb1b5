"""What a symbol's roles receive around a missing trade, also from an owner that restores the saved state."""

from collections.abc import Sequence

import msgspec
from alerting import alert
from working import MINUTE_US, START_US, trade

from tickplant.derived import AlertState, Firing
from tickplant.intervals import SECOND_US
from tickplant.kernel import from_trades
from workers.ledger import Ledger
from workers.roles.alerts.symbol import SymbolAlerts
from workers.roles.price_guard import PriceGuard
from workers.roles.reorder import ReorderBuffer
from workers.roles.symbol import RolePosition, SymbolRoles, WaitingRoles

WAIT_MS = 10_000
GAPS = AlertState(alert("a", "gap", repeat=True), armed=True)
SILENCE = AlertState(alert("b", "silence", silence_s=30), armed=True)


class Symbol:
    """A symbol's ledger and roles, alerts among them."""

    def __init__(self) -> None:
        self.ledger = Ledger.empty()
        self.make(ReorderBuffer(None, wait_ms=WAIT_MS), RolePosition())

    def make(self, reorder: ReorderBuffer, position: RolePosition) -> None:
        alerts = SymbolAlerts([GAPS, SILENCE], (), position.last_us)
        self.roles = SymbolRoles(
            reorder=reorder,
            position=position,
            guard=PriceGuard(),
            averages=None,
            signals=None,
            alerts=alerts,
            bot=None,
        )

    def absorb(self, *ids_and_seconds: tuple[int, float], now_ms: int = 0) -> list[Firing]:
        trades = [trade(id_, at_us=START_US + round(s * SECOND_US)) for id_, s in ids_and_seconds]
        new = [trade for trade in trades if self.ledger.add(trade.trade_id)]
        columns = from_trades(new)
        self.roles.feed(columns, columns.fold(), self.ledger, now_ms)
        return self.roles.take().firings

    def clock(self, seconds: float, now_ms: int = 0) -> list[Firing]:
        self.roles.advance_clock(START_US + round(seconds * SECOND_US), self.ledger, now_ms)
        return self.roles.take().firings

    def restart(self, held: Sequence[tuple[int, float]]) -> None:
        saved = msgspec.msgpack.decode(msgspec.msgpack.encode(self.roles.waiting_state), type=WaitingRoles)
        trades = [trade(id_, at_us=START_US + round(s * SECOND_US)) for id_, s in held]
        assert saved.reorder.held_from_us == min(trade.event_time_us for trade in trades)
        self.make(ReorderBuffer.restore(saved.reorder, trades, wait_ms=WAIT_MS), saved.position)

    def minutes(self) -> dict[int, int]:
        """The open candles of a minute: the trades in each."""
        candles = self.roles.position.candles
        minutes = [candle for candle in candles if candle.interval == "1m"]
        return {(minute.open_time_us - START_US) // MINUTE_US: minute.trade_count for minute in minutes}


def test_what_the_clock_has_ended_meanwhile_ends_when_the_wait_is_over() -> None:
    for interrupted in (False, True):
        symbol = Symbol()
        symbol.absorb((1, 10), (3, 20))
        assert symbol.clock(65) == []
        assert symbol.minutes() == {0: 1}
        if interrupted:
            symbol.restart([(3, 20)])
        firings = symbol.absorb((2, 15))
        assert symbol.minutes() == {}
        assert [(firing.kind, firing.event_time_us) for firing in firings] == [
            ("silence", START_US + 50 * SECOND_US)
        ]


def test_a_gap_is_reported_once_when_it_is_found() -> None:
    symbol = Symbol()
    symbol.absorb((1, 10))
    symbol.clock(12)  # within a minute it is not stored, so that nothing must depend on it
    firings = symbol.absorb((5, 20), (8, 30))
    assert [(firing.value, firing.event_time_us) for firing in firings] == [
        ("2", START_US + 10 * SECOND_US),
        ("6", START_US + 10 * SECOND_US),
    ]
    symbol.restart([(5, 20), (8, 30)])
    firings = symbol.absorb((3, 15)) + symbol.clock(31) + symbol.absorb((2, 12), (4, 16))
    assert [firing for firing in firings if firing.kind == "gap"] == []


def test_a_late_trade_of_a_minute_that_has_not_started_starts_it() -> None:
    symbol = Symbol()
    symbol.absorb((1, 10), (3, 59))
    symbol.clock(59, now_ms=WAIT_MS)
    symbol.absorb((2, 60.5))
    assert symbol.minutes() == {1: 1}
    symbol.absorb((4, 61))
    assert symbol.minutes() == {1: 2}
