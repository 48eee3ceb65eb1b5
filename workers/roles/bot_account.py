"""A paper account: buys, sells and valuations, exact to the last digit. Pure."""

from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tickplant.bot import Fill, PaperAccount, PaperOrder, Rules, affordable, round_down, round_up
from tickplant.intervals import DAY_US, floor
from tickplant.market import EXACT, Trade

_ZERO: Final = Decimal("0E-8")
_ONE: Final = Decimal(1)
_MAX_SIZE: Final = Decimal(10) ** 30
"""Of an order: whatever a venue sends, numbers stay in the range that is computed exactly."""

NO_PRICE: Final = "the price is 0"
NO_POSITION: Final = "there is nothing to sell"
NO_CASH: Final = "there is not enough cash"
TOO_SMALL: Final = "the order is too small to buy anything"
TOO_LARGE: Final = "the position would exceed the maximum"


class AccountKeeper:
    """Applies fills and prices to the account of one symbol."""

    def __init__(self, rules: Rules, account: PaperAccount) -> None:
        self._rules = rules
        self.account = account
        """The account as it is."""
        slippage = EXACT.scaleb(rules.slippage_bps, -4)
        self._factors = {"buy": EXACT.add(_ONE, slippage), "sell": EXACT.subtract(_ONE, slippage)}
        self._fee = EXACT.scaleb(rules.fee_bps, -4)

    def change(self, **fields: object) -> None:
        """Set fields of the account, and raise its version."""
        self.account = replace(self.account, version=self.account.version + 1, **fields)

    def value(self, time_us: int, price: Decimal) -> None:
        """Value the account at a price; a new day starts with its equity, and ends a halt."""
        account = self.account
        equity = EXACT.add(account.cash, round_down(EXACT.multiply(account.position, price)))
        day_us, day_equity, halted = account.day_us, account.day_equity, account.halted
        if floor(time_us, DAY_US) > day_us:
            day_us, day_equity, halted = floor(time_us, DAY_US), equity, False
        loss = EXACT.subtract(day_equity, equity)
        self.change(
            time_us=max(time_us, account.time_us),
            price=price,
            equity=equity,
            day_us=day_us,
            day_equity=day_equity,
            halted=halted or loss >= self._rules.max_daily_loss.of(day_equity),
        )

    def fill(self, order: PaperOrder, trade: Trade) -> Fill | str:
        """Fill an order at the price of a trade; return the reason for a refusal if that is impossible."""
        price = EXACT.multiply(Decimal(trade.price), self._factors[order.side])
        if not price:
            return NO_PRICE
        return (self._buy if order.side == "buy" else self._sell)(order, trade, price)

    def _buy(self, order: PaperOrder, trade: Trade, price: Decimal) -> Fill | str:
        """Buy for the amount of an order, all of it or nothing."""
        account, rules = self.account, self._rules
        size = affordable(rules.order.of(account.equity), price)
        if not size:
            return TOO_SMALL
        quote = round_up(EXACT.multiply(price, size))
        fee = round_up(EXACT.multiply(quote, self._fee))
        paid = EXACT.add(quote, fee)
        if paid > account.cash:
            return NO_CASH
        position = EXACT.add(account.position, size)
        if size > _MAX_SIZE or EXACT.multiply(position, price) > rules.max_position.of(account.equity):
            return TOO_LARGE
        self.change(
            cash=EXACT.subtract(account.cash, paid),
            position=position,
            cost=EXACT.add(account.cost, paid),
            fees=EXACT.add(account.fees, fee),
        )
        return _fill_of(order, trade, price, size, quote, fee, _ZERO)

    def _sell(self, order: PaperOrder, trade: Trade, price: Decimal) -> Fill | str:
        """Sell the whole position."""
        account = self.account
        size = account.position
        if not size:
            return NO_POSITION
        quote = round_down(EXACT.multiply(price, size))
        fee = round_up(EXACT.multiply(quote, self._fee))
        received = EXACT.subtract(quote, fee)
        profit = EXACT.subtract(received, account.cost)
        self.change(
            cash=EXACT.add(account.cash, received),
            position=_ZERO,
            cost=_ZERO,
            profit=EXACT.add(account.profit, profit),
            fees=EXACT.add(account.fees, fee),
        )
        return _fill_of(order, trade, price, size, quote, fee, profit)


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
