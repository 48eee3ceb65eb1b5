"""The paper bot: its rules, orders, fills and accounts, as the services exchange them. Pure.

An order is filled by the bot itself, at the price of the next trade. Neither this module nor those that use
it can send an order to a venue.

Money and sizes are whole multiples of `QUANTUM`, rounded against the account. So an account that is read back
from the database is equal to the last digit.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from tickplant.market import EXACT, Side

QUANTUM: Final = Decimal("0.00000001")
"""The smallest amount of money, in quote currency, and the smallest size, in base currency."""

BPS: Final = 10_000
"""Hundredths of a percent in a whole."""

_ROUNDING: Final = Context(prec=250, traps=[InvalidOperation, DivisionByZero, Overflow])


def round_up(amount: Decimal) -> Decimal:
    """Round an amount to be paid up to whole quanta."""
    return amount.quantize(QUANTUM, ROUND_CEILING, _ROUNDING)


def round_down(amount: Decimal) -> Decimal:
    """Round an amount to be received down to whole quanta."""
    return amount.quantize(QUANTUM, ROUND_FLOOR, _ROUNDING)


def affordable(money: Decimal, price: Decimal) -> Decimal:
    """Return the size that money buys at a price above 0, in whole quanta."""
    # Both operations round down, so their result equals one rounding.
    return round_down(_DIVISION.divide(money, price))


_DIVISION: Final = Context(prec=150, rounding=ROUND_FLOOR, traps=[InvalidOperation, DivisionByZero, Overflow])


class Amount(NamedTuple):
    """An amount of money: a fixed one, or a share of another."""

    number: Decimal
    """In quote currency, or percent."""
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Parse `1000`, an amount in quote currency, or `10%`, a share.

        Raises:
            ValueError: it is neither, or not above 0.
        """
        number = parse_number(text.removesuffix("%"))
        if number <= 0:
            raise ValueError("must be above 0")
        return cls(number, text.endswith("%"))

    def of(self, whole: Decimal) -> Decimal:
        """Return the amount in whole quanta; a share is one of `whole`."""
        if not self.percent:
            return round_down(self.number)
        return round_down(EXACT.multiply(whole, EXACT.scaleb(self.number, -2)))

    def __str__(self) -> str:
        return f"{self.number:f}%" if self.percent else f"{self.number:f}"


def parse_number(text: str) -> Decimal:
    """Parse a plain decimal of reasonable length, such as 1000 or 0.5.

    Raises:
        ValueError: it is none.
    """
    if len(text) > _MAX_CHARS or not text.isascii() or not text.replace(".", "", 1).isdecimal():
        raise ValueError(f"{text[:40]!r} is not a plain decimal, such as 1000 or 0.5")
    return Decimal(text)


_MAX_CHARS: Final = 24


class Rules(Struct, frozen=True, kw_only=True):
    """How the bot trades."""

    strategies: tuple[str, ...] = ("cross",)
    """The strategies whose signals it follows."""
    cash: Decimal = Decimal(10_000)
    """The initial cash of an account, in the quote currency of its symbol."""
    order: Amount = Amount(Decimal(10), percent=True)
    """How much a buy spends; a share is one of the account's equity."""
    fee_bps: Decimal = Decimal(10)
    """The fee, in hundredths of a percent of the amount paid or received."""
    slippage_bps: Decimal = Decimal(5)
    """How much worse than the next trade's price an order is filled, likewise."""
    max_position: Amount = Amount(Decimal(50), percent=True)
    """The most that a position may be worth after a buy; a share is one of the account's equity."""
    max_daily_loss: Amount = Amount(Decimal(5), percent=True)
    """The loss in a UTC day at which trading stops; a share is one of the equity at its start."""


class PaperOrder(Struct, frozen=True, array_like=True):
    """A market order of the bot, on paper."""

    venue: str
    symbol: str
    number: int
    """Counts the account's orders from 1."""
    strategy: str
    signal_number: int
    """Strategy and number identify the signal."""
    side: Side
    trade_id: int
    """The newest trade when it was placed: the one after it fills it."""
    time_us: int
    """Venue time at which it was placed."""
    state: Literal["open", "filled", "refused"] = "open"
    reason: str = ""
    """Why it was refused."""


class Fill(Struct, frozen=True, array_like=True):
    """The execution of an order; orders are filled immediately and completely."""

    venue: str
    symbol: str
    number: int
    """Of the order."""
    side: Side
    trade_id: int
    """The trade at whose price it was filled."""
    time_us: int
    """Venue time of that trade."""
    price: Decimal
    """Of that trade, worsened by the slippage."""
    size: Decimal
    """In base currency."""
    quote: Decimal
    """Price times size, rounded: in quote currency, without the fee."""
    fee: Decimal
    """In quote currency."""
    profit: Decimal
    """Of a sell: the proceeds less the cost of the position, fees included. Of a buy: 0."""


class Equity(Struct, frozen=True, array_like=True):
    """What an account was worth when a candle closed."""

    venue: str
    symbol: str
    time_us: int
    """The candle's close time."""
    cash: Decimal
    position: Decimal
    price: Decimal
    """Of the newest trade."""
    equity: Decimal
    """Cash plus the position at that price, in quote currency."""


class PaperAccount(Struct, frozen=True, array_like=True, kw_only=True):
    """The bot's account of one symbol, in the symbol's quote currency."""

    venue: str
    symbol: str
    version: int = 0
    """Rises with every change."""
    time_us: int = 0
    """Venue time of the last change."""
    enabled: bool = True
    """Whether the bot is switched on, as far as the switch has been applied."""
    switch_version: int = 0
    """The version of that switch; 0 if it was never switched."""
    halted: bool = False
    """The maximum daily loss was reached: no orders until the next UTC day."""
    initial_cash: Decimal
    """The cash at the start."""
    cash: Decimal
    position: Decimal = Decimal("0E-8")
    """In base currency; never negative."""
    cost: Decimal = Decimal("0E-8")
    """The cost of the position, fees included."""
    profit: Decimal = Decimal("0E-8")
    """Of all sells."""
    fees: Decimal = Decimal("0E-8")
    """Of all fills."""
    orders: int = 0
    """The number of orders so far."""
    price: Decimal | None = None
    """The price of the last valuation: of a fill's trade, or of the newest trade when a candle closed."""
    equity: Decimal
    """Cash plus the position at that price."""
    day_us: int = 0
    """Start of the UTC day of the last change, by the venue's time."""
    day_equity: Decimal
    """The equity at its start."""


class AccountChanges(NamedTuple):
    """The changes of one account since the last call."""

    account: PaperAccount
    orders: list[PaperOrder]
    """Those placed, filled or refused, as they are now."""
    fills: list[Fill]
    equities: list[Equity]


class AccountState(NamedTuple):
    """The saved state from which the bot continues with an account."""

    account: PaperAccount
    open_orders: list[PaperOrder]
    """In order of number."""


def new_account(venue: str, symbol: str, rules: Rules) -> PaperAccount:
    """Return a new account of a symbol."""
    cash = round_down(rules.cash)
    return PaperAccount(
        venue=venue, symbol=symbol, initial_cash=cash, cash=cash, equity=cash, day_equity=cash
    )
