"""The alerts of one partition's symbols. Pure."""

from collections.abc import Mapping, Sequence

from db.alerts.states import AlertRows, StoredClose
from tickplant.derived import AlertState
from tickplant.market import SymbolId
from workers.roles.alerts.closes import MinuteClose
from workers.roles.alerts.symbol import SymbolAlerts


class PartitionAlerts:
    """Makes the alerts of each symbol, and gathers what they store."""

    def __init__(
        self,
        partition: int,
        states: Mapping[SymbolId, Sequence[AlertState]],
        closes: Mapping[SymbolId, Sequence[StoredClose]],
    ) -> None:
        """Begin with what the database holds.

        Args:
            partition: the one owned.
            states: of `db.alerts.states.read_alert_states`.
            closes: of `db.alerts.states.read_minute_closes`.
        """
        self._partition = partition
        self._states = dict(states)
        self._closes = dict(closes)
        self._symbols: dict[SymbolId, SymbolAlerts] = {}

    def of(self, symbol: SymbolId, last_us: int | None = None) -> SymbolAlerts:
        """Return the alerts of a symbol, in the state that was stored.

        Args:
            symbol: whose.
            last_us: event time of its last trade; None where none is known.
        """
        alerts = self._symbols.get(symbol)
        if alerts is None:
            closes = [
                MinuteClose(time_us, price, (event_time_us, trade_id))
                for time_us, price, event_time_us, trade_id in self._closes.pop(symbol, ())
            ]
            alerts = SymbolAlerts(self._states.pop(symbol, ()), closes, last_us)
            self._symbols[symbol] = alerts
        return alerts

    def take(self) -> AlertRows | None:
        """Return what to store of what has come since the last call; None if nothing has."""
        changes = [taken for it in self._symbols.values() if (taken := it.take()) is not None]
        if not changes:
            return None
        return AlertRows(
            self._partition,
            [state for each in changes for state in each.states],
            [firing for each in changes for firing in each.firings],
            [delivery for each in changes for delivery in each.deliveries],
        )
