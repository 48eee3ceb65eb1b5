"""Restores a partition's roles and admissions from the database as of the committed entry."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from db.alerts.states import read_alert_states, read_minute_closes
from db.averages import read_candle_windows
from db.bot.states import read_bot_states
from db.ledger import LedgerRow
from db.pool import Pool
from db.signals import read_last_signals, read_strategy_states
from db.suspects import read_suspects
from db.waiting import read_unprocessed_trades, read_waiting
from tickplant.averages import AverageSpecs
from tickplant.bot import Rules
from tickplant.market import Candle, SymbolId
from tickplant.notifications import Notifier
from workers.admission import AdmissionState
from workers.roles.alerts.closes import MAX_CLOSES
from workers.roles.averages import PartitionAverages
from workers.roles.bot import PartitionBots
from workers.roles.partition import PartitionRoles, StoredAlerts, StoredState
from workers.roles.signals import PartitionSignals
from workers.roles.symbol import WaitingRoles
from workers.roles.unified import Unifier
from workers.strategies.base import Strategy


class RoleSettings(NamedTuple):
    """Which roles a worker has besides candles, and their parameters."""

    averages: AverageSpecs | None = None
    """None: the role is off."""
    strategies: Sequence[type[Strategy]] = ()
    """None of them: the role is off."""
    alerts: bool = False
    bot: Rules | None = None
    """None: the role is off."""
    gap_wait_ms: int = 10_000
    """How long roles wait for a missing trade."""
    notifier: Notifier | None = None
    """None: no notifications."""


async def load_admissions(pool: Pool, partition: int) -> dict[SymbolId, AdmissionState]:
    """Return the state of admission, by symbol, of a partition that has just been taken."""
    stored = await read_suspects(pool, partition)
    return {key: msgspec.msgpack.decode(state, type=AdmissionState) for key, state in stored.items()}


async def load_roles(
    pool: Pool,
    partition: int,
    settings: RoleSettings,
    ledger: Sequence[LedgerRow],
    open_candles: Sequence[Candle],
) -> PartitionRoles:
    """Restore the roles of a partition that has just been taken, so that nobody else changes the rows read.

    Args:
        pool: connections.
        partition: the one taken.
        settings: which roles.
        ledger: of its symbols.
        open_candles: likewise.
    """
    stored_waiting = await read_waiting(pool, partition)
    waiting = {key: msgspec.msgpack.decode(state, type=WaitingRoles) for key, state in stored_waiting.items()}
    held = await read_unprocessed_trades(
        pool, {key: (state.reorder.cursor, state.reorder.held_from_us) for key, state in waiting.items()}
    )
    until_us = {key: state.position.time_us for key, state in waiting.items()}
    averages = signals = alerts = bots = None
    unifier = Unifier()
    if settings.averages is not None:
        windows = await read_candle_windows(pool, partition, settings.averages, until_us)
        averages = PartitionAverages(settings.averages, windows)
    strategy_states = await read_strategy_states(pool, partition)
    if settings.strategies or strategy_states:
        signals = PartitionSignals(partition, settings.strategies, strategy_states)
        unifier.add((), await read_last_signals(pool, partition))
    if settings.alerts:
        states = await read_alert_states(pool, partition)
        alerts = StoredAlerts(states, await read_minute_closes(pool, partition, MAX_CLOSES, until_us))
    if settings.bot is not None:
        bots = PartitionBots(partition, settings.bot, await read_bot_states(pool, partition))
    return PartitionRoles(
        partition,
        averages=averages,
        signals=signals,
        alerts=alerts,
        bots=bots,
        unifier=unifier,
        notifier=settings.notifier,
        gap_wait_ms=settings.gap_wait_ms,
        stored=StoredState(ledger, open_candles, waiting, held),
    )
