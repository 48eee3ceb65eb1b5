"""The registry of websocket channels, with one entry for each kind.

A new channel needs an entry here, a view in `api/views/` and its description in `docs/websocket.md`.
"""

from collections.abc import Collection
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import replace

from api.live.change_validity import decode_entries, encodes, is_valid_candle
from api.live.channel_definitions import ChannelSources, LoadedState, PolledChannel, StreamedChannel
from api.live.channel_states import (
    SNAPSHOT_CANDLES,
    SNAPSHOT_EVENTS,
    SNAPSHOT_TRADES,
    CandlesState,
    EntryTrades,
    EventsState,
    GapsState,
    LatestState,
    TradesState,
)
from api.live.protocol import Channel
from api.views.alerts import FiringView, firing_view
from api.views.bot import AccountView, account_view
from api.views.candles import CandleView, candle_view
from api.views.connections import ConnectionView, connection_view
from api.views.gaps import GapView, gap_view
from api.views.stats import ChangeView, change_view
from api.views.trades import TradeView, trade_view
from db.stats import read_changes_24h
from tickplant.bot import PaperAccount
from tickplant.derived import Firing, Signal, SignalView, Unified, signal_view
from tickplant.market import Candle, Gap, Trade
from tickplant.trade_rules import reject_reason


def _of_symbol(change: Trade | Gap | Signal | Firing | PaperAccount) -> tuple[str, str]:
    return change.venue, change.symbol


def _replaces_all(_: object) -> str:
    return ""


async def _load_price(sources: ChannelSources, channel: Channel) -> LoadedState:
    last, update = await sources.prices.read(channel.symbol_id)
    return LoadedState(LatestState(trade_view, last), update=update)


async def _load_candles(sources: ChannelSources, channel: Channel) -> LoadedState:
    candles, committed = await sources.history.newest_candles(
        channel.symbol_id, channel.interval, SNAPSHOT_CANDLES
    )
    return LoadedState(CandlesState(candles), committed=committed)


async def _load_trades(sources: ChannelSources, channel: Channel) -> LoadedState:
    trades, committed = await sources.history.newest_trades(channel.symbol_id, SNAPSHOT_TRADES)
    return LoadedState(TradesState(trades), committed=committed)


async def _load_gaps(sources: ChannelSources, channel: Channel) -> LoadedState:
    gaps, committed = await sources.history.unhealed_gaps(channel.symbol_id)
    return LoadedState(GapsState(gaps), committed=committed)


async def _load_signals(sources: ChannelSources, channel: Channel) -> LoadedState:
    published, update = await sources.published(channel.symbol_id)
    signals = await sources.history.newest_signals(channel.symbol_id, published, SNAPSHOT_EVENTS)
    return LoadedState(EventsState(signal_view, signals), update=update)


async def _load_alerts(sources: ChannelSources, channel: Channel) -> LoadedState:
    published, update = await sources.published(channel.symbol_id)
    firings = await sources.history.newest_firings(channel.symbol_id, published, SNAPSHOT_EVENTS)
    return LoadedState(EventsState(firing_view, firings), update=update)


async def _load_bot(sources: ChannelSources, channel: Channel) -> LoadedState:
    """Read an account; one that is newer than the last update is replaced by itself later."""
    _, update = await sources.published(channel.symbol_id)
    account = await sources.history.account(channel.symbol_id)
    return LoadedState(LatestState(account_view, account), update=update)


async def _load_unified(sources: ChannelSources, channel: Channel) -> LoadedState:
    unified, update = await sources.prices.read_unified(channel.symbol_id)
    return LoadedState(LatestState(_as_is, unified), update=update)


def _as_is(unified: Unified) -> Unified:
    return unified


async def _read_stats(sources: ChannelSources, channels: Collection[Channel]) -> dict[Channel, object]:
    symbols = {channel.symbol_id: channel for channel in channels}
    async with sources.history.snapshot() as connection:
        changes = await read_changes_24h(connection, symbols)
    return {symbols[change.symbol]: change_view(change) for change in changes}


def _same_minute(sent: ChangeView | None, view: ChangeView) -> bool:
    """Return whether only the symbol's time has advanced, within the minute that the window starts with."""
    return sent is not None and replace(sent, until=view.until, covers_s=view.covers_s) == view


async def _read_merged_candles(
    sources: ChannelSources, channels: Collection[Channel]
) -> dict[Channel, object]:
    selected = {(channel.symbol_id, channel.interval): channel for channel in channels}
    candles = await sources.history.newest_of_each(selected, SNAPSHOT_CANDLES)
    return {channel: [candle_view(candle) for candle in candles[key]] for key, channel in selected.items()}


def _changed_candles(sent: list[CandleView] | None, now: list[CandleView]) -> list[tuple[str, CandleView]]:
    return [(f"@{view.open_time}", view) for view in now if view not in (sent or ())]


async def _read_connections(sources: ChannelSources, channels: Collection[Channel]) -> dict[Channel, object]:
    views = [connection_view(connection) for connection in await sources.connections.read()]
    return dict.fromkeys(channels, views)


CHANNELS: Final[tuple[StreamedChannel[Any] | PolledChannel, ...]] = (
    StreamedChannel[Trade](
        kind="price",
        message="price",
        data=TradeView,
        state=TradeView | None,
        changes=attrgetter("prices"),
        address=_of_symbol,
        view=trade_view,
        valid=lambda trade: reject_reason(trade) is None,
        conflation_key=_replaces_all,
        load=_load_price,
    ),
    StreamedChannel[Candle](
        kind="candles",
        message="candle",
        data=CandleView,
        state=list[CandleView],
        changes=attrgetter("candles"),
        address=lambda candle: (candle.venue, candle.symbol, candle.interval),
        view=candle_view,
        valid=is_valid_candle,
        conflation_key=lambda candle: f"@{candle.open_time_us}",
        load=_load_candles,
        has_interval=True,
    ),
    StreamedChannel[EntryTrades](
        kind="trades",
        message="trades",
        data=list[TradeView],
        state=list[TradeView],
        changes=decode_entries,
        address=lambda batch: (batch.trades.venue, batch.trades.symbol),
        view=EntryTrades.view,
        valid=lambda batch: len(batch.trades) > 0,
        conflation_key=None,
        load=_load_trades,
        stays_loaded=False,
        encoded=True,
    ),
    StreamedChannel[Gap](
        kind="gaps",
        message="gap",
        data=GapView,
        state=list[GapView],
        changes=attrgetter("gaps"),
        address=_of_symbol,
        view=gap_view,
        valid=encodes(gap_view),
        conflation_key=lambda gap: f"@{gap.first_id}-{gap.last_id}",
        load=_load_gaps,
        all_symbols=True,
        stays_loaded=False,
    ),
    StreamedChannel[Signal](
        kind="signals",
        message="signal",
        data=SignalView,
        state=list[SignalView],
        changes=attrgetter("signals"),
        address=_of_symbol,
        view=signal_view,
        valid=encodes(signal_view),
        conflation_key=None,
        load=_load_signals,
        all_symbols=True,
    ),
    StreamedChannel[Firing](
        kind="alerts",
        message="firing",
        data=FiringView,
        state=list[FiringView],
        changes=attrgetter("firings"),
        address=_of_symbol,
        view=firing_view,
        valid=encodes(firing_view),
        conflation_key=None,
        load=_load_alerts,
        all_symbols=True,
    ),
    StreamedChannel[PaperAccount](
        kind="bot",
        message="account",
        data=AccountView,
        state=AccountView | None,
        changes=attrgetter("accounts"),
        address=_of_symbol,
        view=account_view,
        valid=encodes(account_view),
        conflation_key=_replaces_all,
        load=_load_bot,
        all_symbols=True,
    ),
    StreamedChannel[Unified](
        kind="unified",
        message="unified",
        data=Unified,
        state=Unified | None,
        changes=attrgetter("unified"),
        address=lambda unified: unified.symbol.split(":", 1),
        view=_as_is,
        valid=encodes(_as_is),
        conflation_key=_replaces_all,
        load=_load_unified,
    ),
    PolledChannel(
        kind="stats",
        message="stats",
        data=ChangeView,
        state=ChangeView | None,
        read=_read_stats,
        unchanged=_same_minute,
        all_symbols=True,
    ),
    PolledChannel(
        kind="connections",
        message="connections",
        data=list[ConnectionView],
        state=list[ConnectionView],
        read=_read_connections,
        of_symbol=False,
    ),
)

MERGED_CANDLES: Final = PolledChannel(
    kind="candles",
    message="candle",
    data=CandleView,
    state=list[CandleView],
    read=_read_merged_candles,
    changes=_changed_candles,
    has_interval=True,
    reports_losses=True,
)
"""Candles of the intervals that are not stored; those of the others are streamed."""

KINDS: Final = {definition.kind: definition for definition in CHANNELS}

STREAMED: Final = {
    definition.kind: definition
    for definition in sorted(
        (definition for definition in CHANNELS if isinstance(definition, StreamedChannel)),
        key=attrgetter("encoded"),
    )
}
"""By kind, in the order in which cursors number the changes of an update. Those that have to be decoded are
last, so that the others can be numbered without decoding."""

POLLED: Final = {
    definition.kind: definition for definition in CHANNELS if isinstance(definition, PolledChannel)
}
