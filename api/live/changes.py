"""What an update means for each channel, in one order that all cursors share. Pure."""

from collections import defaultdict
from collections.abc import Collection, Container, Iterator
from typing import NamedTuple

from api.live.cursor import Order
from api.live.protocol import Channel
from tickplant.derived import Firing, Signal, Unified
from tickplant.market import Candle, Gap, SymbolId, Trade
from tickplant.paper_bot import Account
from tickplant.streams import entry_order
from tickplant.wire import LiveUpdate, decode_trades

Data = Trade | Candle | Gap | list[Trade] | Signal | Firing | Account | Unified
"""The payload of a channel's kind: a price's trade, a candle, a gap, trades of one input entry, and so on."""


class Change(NamedTuple):
    """A message to be: what changed in one channel."""

    channel: Channel
    number: int
    """Its place among the messages of the update, the same for every reader."""
    data: Data
    entry: Order | None = None
    """The input entry, for trades."""


def state_changes(update: LiveUpdate) -> Iterator[Change]:
    """Yield everything but trades."""
    number = 0
    for trade in update.prices:
        yield Change(Channel("price", trade.venue, trade.symbol), number, trade)
        number += 1
    for candle in update.candles:
        yield Change(Channel("candles", candle.venue, candle.symbol, candle.interval), number, candle)
        number += 1
    for gap in update.gaps:
        yield Change(Channel("gaps", gap.venue, gap.symbol), number, gap)
        number += 1
    yield from _derived_changes(update, number)


def _derived_changes(update: LiveUpdate, number: int) -> Iterator[Change]:
    for signal in update.signals:
        yield Change(Channel("signals", signal.venue, signal.symbol), number, signal)
        number += 1
    for firing in update.firings:
        yield Change(Channel("alerts", firing.venue, firing.symbol), number, firing)
        number += 1
    for account in update.accounts:
        yield Change(Channel("bot", account.venue, account.symbol), number, account)
        number += 1
    for unified in update.unified:
        yield Change(Channel("unified", *SymbolId.parse(unified.symbol)), number, unified)
        number += 1


def trade_changes(update: LiveUpdate, wanted: Container[Channel]) -> Iterator[Change]:
    """Yield trades, one change for each input entry and symbol.

    Args:
        update: whose trades are decoded.
        wanted: the channels to yield.

    Raises:
        PoisonError: what the update carries is not a batch of trades.
    """
    number = len(update.prices) + len(update.candles) + len(update.gaps) + len(update.signals)
    number += len(update.firings) + len(update.accounts) + len(update.unified)
    for entry in update.entries:
        groups: defaultdict[tuple[str, str], list[Trade]] = defaultdict(list)
        for trade in decode_trades(entry.trades):
            groups[trade.venue, trade.symbol].append(trade)
        order = entry_order(entry.entry_id)
        for symbol, trades in groups.items():
            channel = Channel("trades", *symbol)
            if channel in wanted:
                yield Change(channel, number, trades, order)
            number += 1


def changes_of(update: LiveUpdate, wanted: Collection[Channel]) -> Iterator[Change]:
    """Yield the changes of the channels that are wanted; raises as `trade_changes` if trades are."""
    for change in state_changes(update):
        if change.channel in wanted:
            yield change
    if any(channel.kind == "trades" for channel in wanted):
        yield from trade_changes(update, wanted)


def last_entry(update: LiveUpdate) -> Order | None:
    """Return the last input entry in an update; None where it carries no trades."""
    return entry_order(update.entries[-1].entry_id) if update.entries else None
