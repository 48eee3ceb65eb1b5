"""The paper bot: follows signals with one paper account per symbol. Pure.

It never talks to a venue's order API: it fills its orders itself, at the price of the next trade. An
import-linter contract enforces that.

Each symbol has an account of its own, since the order of trades is defined within a symbol only
(docs/adr/0012-one-paper-account-per-symbol.md). A buy spends the amount that the rules define; a sell sells
the whole position; there is no short selling.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from db.bot.states import BotRows, BotStates
from tickplant.bot import (
    AccountChanges,
    AccountState,
    Equity,
    Fill,
    PaperAccount,
    PaperOrder,
    Rules,
    new_account,
)
from tickplant.derived import BotSwitch, Signal
from tickplant.market import SymbolId, Trade
from workers.roles.bot_account import AccountKeeper
from workers.roles.events import Closed, Run

_trade_id: Final = attrgetter("trade_id")

SWITCHED_OFF: Final = "the bot is switched off"
HALTED: Final = "the maximum daily loss is reached: no orders until the next UTC day"


class SymbolBot:
    """The bot of one symbol: its account and orders."""

    def __init__(self, venue: str, symbol: str, rules: Rules, state: AccountState | None) -> None:
        """Restore an account, or open one.

        Args:
            venue: of the symbol.
            symbol: as the venue writes it.
            rules: how to trade.
            state: the stored account; None for a new one.
        """
        self._rules = rules
        self._keeper = AccountKeeper(rules, state.account if state else new_account(venue, symbol, rules))
        self._open = list(state.open_orders) if state else []
        self._orders: dict[int, PaperOrder] = {}
        self._fills: list[Fill] = []
        self._equities: list[Equity] = []
        self._taken_version = self.account.version

    @property
    def account(self) -> PaperAccount:
        """The account as it is."""
        return self._keeper.account

    def run(self, run: Run, signals: Sequence[Signal]) -> None:
        """Process trades, and the signals that they caused."""
        if not (self._open or signals):
            return
        for signal in signals:
            self._fill_open(run.trades, signal.trade_id)
            self._follow(signal)
        self._fill_open(run.trades, run.trades[-1].trade_id)

    def closed(self, closed: Closed, signals: Sequence[Signal]) -> None:
        """Process candles that have closed, and the signals that they caused."""
        price = Decimal(closed.trade.price)
        self._keeper.value(closed.time_us, price)
        account = self.account
        self._equities.append(
            Equity(
                account.venue,
                account.symbol,
                closed.time_us,
                account.cash,
                account.position,
                price,
                account.equity,
            )
        )
        for signal in signals:
            self._follow(signal)

    def switch(self, switch: BotSwitch) -> None:
        """Switch trading on or off; ignore a version that is not newer than the last."""
        if switch.version > self.account.switch_version:
            self._keeper.change(enabled=switch.enabled, switch_version=switch.version)

    def take(self) -> AccountChanges | None:
        """Return what has changed since the last call; None if nothing has changed."""
        if self.account.version == self._taken_version:
            return None
        self._taken_version = self.account.version
        changes = AccountChanges(self.account, list(self._orders.values()), self._fills, self._equities)
        self._orders, self._fills, self._equities = {}, [], []
        return changes

    def _follow(self, signal: Signal) -> None:
        """Place an order, to be filled by the next trade."""
        if signal.strategy not in self._rules.strategies:
            return
        self._keeper.value(signal.event_time_us, Decimal(signal.price))
        number = self.account.orders + 1
        order = PaperOrder(
            signal.venue,
            signal.symbol,
            number,
            signal.strategy,
            signal.number,
            signal.side,
            signal.trade_id,
            signal.event_time_us,
        )
        self._keeper.change(orders=number)
        reason = self._refusal()
        if reason is None:
            self._orders[number] = order
            self._open.append(order)
        else:
            self._orders[number] = replace(order, state="refused", reason=reason)

    def _fill_open(self, trades: Sequence[Trade], last_id: int) -> None:
        """Fill the open orders whose next trade is among these, up to an id."""
        while self._open:
            index = bisect_right(trades, self._open[0].trade_id, key=_trade_id)
            if index == len(trades) or trades[index].trade_id > last_id:
                return
            self._execute(self._open.pop(0), trades[index])

    def _execute(self, order: PaperOrder, trade: Trade) -> None:
        """Fill an order, or refuse it."""
        self._keeper.value(trade.event_time_us, Decimal(trade.price))
        fill = self._refusal() or self._keeper.fill(order, trade)
        if isinstance(fill, str):
            self._orders[order.number] = replace(order, state="refused", reason=fill)
            self._keeper.change()
            return
        self._orders[order.number] = replace(order, state="filled")
        self._fills.append(fill)
        self._keeper.value(trade.event_time_us, Decimal(trade.price))

    def _refusal(self) -> str | None:
        """Return why orders are refused now; None if they are not."""
        if not self.account.enabled:
            return SWITCHED_OFF
        return HALTED if self.account.halted else None


class PartitionBots:
    """The bots of all symbols of a partition, and their switch."""

    def __init__(self, partition: int, rules: Rules, states: BotStates) -> None:
        """Restore what the database holds.

        Args:
            partition: the one owned.
            rules: how to trade.
            states: of `db.bot.states.read_bot_states`.
        """
        self._partition = partition
        self._rules = rules
        self._bots = {symbol: SymbolBot(*symbol, rules, state) for symbol, state in states.accounts.items()}
        self._switch = states.switch
        self._switched = False
        self._changed: dict[SymbolId, None] = {}  # besides those that the caller knows to have changed

    def of(self, venue: str, symbol: str) -> SymbolBot:
        """Return the bot of a symbol; a new one is switched like the others."""
        key = SymbolId(venue, symbol)
        bot = self._bots.get(key)
        if bot is None:
            bot = self._bots[key] = SymbolBot(venue, symbol, self._rules, None)
            if self._switch is not None:
                bot.switch(self._switch)
                self._changed[key] = None
        return bot

    def switch(self, switch: BotSwitch) -> None:
        """Switch trading on or off; ignore a version that is not newer than the last."""
        if self._switch is None or switch.version > self._switch.version:
            self._switch, self._switched = switch, True
            for key, bot in self._bots.items():
                bot.switch(switch)
                self._changed[key] = None

    def take(self, touched: Iterable[SymbolId] = ()) -> BotRows | None:
        """Return what to store since the last call; None if nothing has changed.

        Args:
            touched: the symbols whose bots may have changed since then, other than by a switch.
        """
        changed, self._changed = self._changed, {}
        symbols = changed | dict.fromkeys(touched)
        changes = [taken for symbol in symbols if (taken := self._bots[symbol].take()) is not None]
        switch, self._switched = self._switch if self._switched else None, False
        if not changes and switch is None:
            return None
        return BotRows(self._partition, changes, switch)
