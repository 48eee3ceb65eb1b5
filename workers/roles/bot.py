"""The paper bot: follows signals with an account on paper, one a symbol. Pure.

It never talks to a venue's order API: it fills its orders itself, at the price of the next trade. An
import-linter contract holds it to that.

Each symbol has an account of its own, since symbols are worked on apart from one another, in no common order
(docs/adr/0012-one-paper-account-per-symbol.md). A buy spends what the rules say; a sell sells the whole
position; there is no short selling.
"""

from bisect import bisect_right
from collections.abc import Sequence
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
    affordable,
    new_account,
    round_down,
    round_up,
)
from tickplant.derived import BotSwitch, Signal
from tickplant.intervals import DAY_US, floor
from tickplant.market import EXACT, SymbolId, Trade
from workers.roles.events import Closed, Run

_trade_id: Final = attrgetter("trade_id")
_ZERO: Final = Decimal("0E-8")
_ONE: Final = Decimal(1)
_LARGEST: Final = Decimal(10) ** 30
"""The largest size of an order: whatever a venue sends, numbers stay within what is computed exactly."""

SWITCHED_OFF: Final = "the bot is switched off"
HALTED: Final = "the largest loss a day is reached: no orders until the next UTC day"
NO_PRICE: Final = "the price is 0"
NO_POSITION: Final = "there is nothing to sell"
NO_CASH: Final = "there is not enough cash"
TOO_SMALL: Final = "the order is too small to buy anything"
TOO_LARGE: Final = "the position would be larger than it may be"


class SymbolBot:
    """The bot's account of one symbol."""

    def __init__(self, venue: str, symbol: str, rules: Rules, state: AccountState | None) -> None:
        """Go on with an account, or open one.

        Args:
            venue: of the symbol.
            symbol: as the venue writes it.
            rules: how to trade.
            state: what was stored; None for a new account.
        """
        self._rules = rules
        self._account = state.account if state else new_account(venue, symbol, rules)
        self._open = list(state.open_orders) if state else []
        self._orders: dict[int, PaperOrder] = {}
        self._fills: list[Fill] = []
        self._equities: list[Equity] = []
        self._taken = self._account.version
        slippage = EXACT.scaleb(rules.slippage_bps, -4)
        self._factors = {"buy": EXACT.add(_ONE, slippage), "sell": EXACT.subtract(_ONE, slippage)}
        self._fee = EXACT.scaleb(rules.fee_bps, -4)

    @property
    def account(self) -> PaperAccount:
        """The account as it is."""
        return self._account

    def run(self, run: Run, signals: Sequence[Signal]) -> None:
        """Take trades, and the signals that they caused."""
        if not (self._open or signals):
            return
        for signal in signals:
            self._fill(run.trades, signal.trade_id)
            self._follow(signal)
        self._fill(run.trades, run.trades[-1].trade_id)

    def closed(self, closed: Closed, signals: Sequence[Signal]) -> None:
        """Take candles that have closed, and the signals that they caused."""
        price = Decimal(closed.trade.price)
        self._value(closed.time_us, price)
        account = self._account
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
        """Switch trading on or off; an older version than the last changes nothing."""
        if switch.version > self._account.switch_version:
            self._change(enabled=switch.enabled, switch_version=switch.version)

    def take(self) -> AccountChanges | None:
        """Return what has changed since the last call; None if nothing has."""
        if self._account.version == self._taken:
            return None
        self._taken = self._account.version
        changes = AccountChanges(self._account, list(self._orders.values()), self._fills, self._equities)
        self._orders, self._fills, self._equities = {}, [], []
        return changes

    def _follow(self, signal: Signal) -> None:
        """Place an order, which the next trade fills."""
        if signal.strategy not in self._rules.strategies:
            return
        self._value(signal.event_time_us, Decimal(signal.price))
        number = self._account.orders + 1
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
        self._change(orders=number)
        stop = self._stop()
        if stop is None:
            self._orders[number] = order
            self._open.append(order)
        else:
            self._orders[number] = replace(order, state="refused", reason=stop)

    def _fill(self, trades: Sequence[Trade], last_id: int) -> None:
        """Fill the orders that wait for a trade up to one."""
        while self._open:
            index = bisect_right(trades, self._open[0].trade_id, key=_trade_id)
            if index == len(trades) or trades[index].trade_id > last_id:
                return
            self._carry_out(self._open.pop(0), trades[index])

    def _carry_out(self, order: PaperOrder, trade: Trade) -> None:
        """Fill an order, or refuse it."""
        self._value(trade.event_time_us, Decimal(trade.price))
        fill = self._stop() or self._deal(order, trade)
        if isinstance(fill, str):
            self._orders[order.number] = replace(order, state="refused", reason=fill)
            self._change()
            return
        self._orders[order.number] = replace(order, state="filled")
        self._fills.append(fill)
        self._value(trade.event_time_us, Decimal(trade.price))

    def _stop(self) -> str | None:
        """Return why there are no orders now; None if there may be."""
        if not self._account.enabled:
            return SWITCHED_OFF
        return HALTED if self._account.halted else None

    def _deal(self, order: PaperOrder, trade: Trade) -> Fill | str:
        """Buy or sell; return the reason if not."""
        price = EXACT.multiply(Decimal(trade.price), self._factors[order.side])
        if not price:
            return NO_PRICE
        return (self._buy if order.side == "buy" else self._sell)(order, trade, price)

    def _buy(self, order: PaperOrder, trade: Trade, price: Decimal) -> Fill | str:
        """Buy for as much as an order is, all of it or nothing."""
        account, rules = self._account, self._rules
        size = affordable(rules.order.of(account.equity), price)
        if not size:
            return TOO_SMALL
        quote = round_up(EXACT.multiply(price, size))
        fee = round_up(EXACT.multiply(quote, self._fee))
        paid = EXACT.add(quote, fee)
        if paid > account.cash:
            return NO_CASH
        position = EXACT.add(account.position, size)
        if size > _LARGEST or EXACT.multiply(position, price) > rules.max_position.of(account.equity):
            return TOO_LARGE
        self._change(
            cash=EXACT.subtract(account.cash, paid),
            position=position,
            cost=EXACT.add(account.cost, paid),
            fees=EXACT.add(account.fees, fee),
        )
        return _fill_of(order, trade, price, size, quote, fee, _ZERO)

    def _sell(self, order: PaperOrder, trade: Trade, price: Decimal) -> Fill | str:
        """Sell the whole position."""
        account = self._account
        size = account.position
        if not size:
            return NO_POSITION
        quote = round_down(EXACT.multiply(price, size))
        fee = round_up(EXACT.multiply(quote, self._fee))
        received = EXACT.subtract(quote, fee)
        profit = EXACT.subtract(received, account.cost)
        self._change(
            cash=EXACT.add(account.cash, received),
            position=_ZERO,
            cost=_ZERO,
            profit=EXACT.add(account.profit, profit),
            fees=EXACT.add(account.fees, fee),
        )
        return _fill_of(order, trade, price, size, quote, fee, profit)

    def _value(self, time_us: int, price: Decimal) -> None:
        """Value the account at a price; a new day starts with its equity, and ends a halt."""
        account = self._account
        equity = EXACT.add(account.cash, round_down(EXACT.multiply(account.position, price)))
        day_us, day_equity, halted = account.day_us, account.day_equity, account.halted
        if floor(time_us, DAY_US) > day_us:
            day_us, day_equity, halted = floor(time_us, DAY_US), equity, False
        lost = EXACT.subtract(day_equity, equity)
        self._change(
            time_us=max(time_us, account.time_us),
            price=price,
            equity=equity,
            day_us=day_us,
            day_equity=day_equity,
            halted=halted or lost >= self._rules.max_daily_loss.of(day_equity),
        )

    def _change(self, **fields: object) -> None:
        self._account = replace(self._account, version=self._account.version + 1, **fields)


class PartitionBots:
    """Makes the bot of each symbol, and gathers what they change."""

    def __init__(self, partition: int, rules: Rules, states: BotStates) -> None:
        """Begin with what the database holds.

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

    def of(self, venue: str, symbol: str) -> SymbolBot:
        """Return the bot of a symbol; a new one starts with the same switch as the others."""
        key = SymbolId(venue, symbol)
        bot = self._bots.get(key)
        if bot is None:
            bot = self._bots[key] = SymbolBot(venue, symbol, self._rules, None)
            if self._switch is not None:
                bot.switch(self._switch)
        return bot

    def switch(self, switch: BotSwitch) -> None:
        """Switch trading on or off; an older version than the last changes nothing."""
        if self._switch is None or switch.version > self._switch.version:
            self._switch, self._switched = switch, True
            for bot in self._bots.values():
                bot.switch(switch)

    def take(self) -> BotRows | None:
        """Return what has changed since the last call; None if nothing has."""
        changes = [taken for bot in self._bots.values() if (taken := bot.take()) is not None]
        switch, self._switched = self._switch if self._switched else None, False
        if not changes and switch is None:
            return None
        return BotRows(self._partition, changes, switch)


def _fill_of(
    order: PaperOrder,
    trade: Trade,
    price: Decimal,
    size: Decimal,
    quote: Decimal,
    fee: Decimal,
    profit: Decimal,
) -> Fill:
    return Fill(
        order.venue,
        order.symbol,
        order.number,
        order.side,
        trade.trade_id,
        trade.event_time_us,
        price,
        size,
        quote,
        fee,
        profit,
    )
