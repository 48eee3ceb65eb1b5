"""The paper bot: its rules, orders, fills and accounts, as all services exchange them. Pure.

All of it is paper: an order is filled by the bot itself, at the price of the next trade. Nothing here, and
nothing that uses it, can send an order to a venue.

Money and sizes are whole multiples of `QUANTUM`, rounded against the account. So an account that comes back
from the database is the same to the last digit.
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
    """Return what has to be paid: whole quanta, none too few."""
    return amount.quantize(QUANTUM, ROUND_CEILING, _ROUNDING)


def round_down(amount: Decimal) -> Decimal:
    """Return what is received: whole quanta, none too many."""
    return amount.quantize(QUANTUM, ROUND_FLOOR, _ROUNDING)


def affordable(money: Decimal, price: Decimal) -> Decimal:
    """Return the size that money buys at a price above 0, in whole quanta."""
    # Both roundings go the same way, so that they are one.
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
        """Return the amount, where a share is one of `whole`; in whole quanta."""
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
    if len(text) > _MOST_CHARS or not text.isascii() or not text.replace(".", "", 1).isdecimal():
        raise ValueError(f"{text[:40]!r} is not a plain decimal, such as 1000 or 0.5")
    return Decimal(text)


_MOST_CHARS: Final = 24


class Rules(Struct, frozen=True, kw_only=True):
    """How the bot trades."""

    strategies: tuple[str, ...] = ("cross",)
    """Whose signals it follows."""
    cash: Decimal = Decimal(10_000)
    """What an account begins with, in the quote currency of its symbol."""
    order: Amount = Amount(Decimal(10), percent=True)
    """What a buy spends; a share is one of the account's equity."""
    fee_bps: Decimal = Decimal(10)
    """Of what was paid or received, in hundredths of a percent."""
    slippage_bps: Decimal = Decimal(5)
    """How much worse than the next trade's price an order is filled, likewise."""
    max_position: Amount = Amount(Decimal(50), percent=True)
    """What a position may be worth after a buy; a share is one of the account's equity."""
    max_daily_loss: Amount = Amount(Decimal(5), percent=True)
    """What may be lost in a UTC day before trading stops; a share is one of the equity at its begin."""


class PaperOrder(Struct, frozen=True, array_like=True):
    """A market order of the bot, on paper."""

    venue: str
    symbol: str
    number: int
    """Counts the account's orders from 1."""
    strategy: str
    signal_number: int
    """With the strategy it names the signal."""
    side: Side
    trade_id: int
    """The newest trade when it was placed: the one after it fills it."""
    time_us: int
    """Venue time at which it was placed."""
    state: Literal["open", "filled", "refused"] = "open"
    reason: str = ""
    """Why it was refused."""


class Fill(Struct, frozen=True, array_like=True):
    """What became of an order; each is filled at once and whole."""

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
    """Of that trade, made worse by the slippage."""
    size: Decimal
    """In base currency."""
    quote: Decimal
    """Price times size, rounded: in quote currency, without the fee."""
    fee: Decimal
    """In quote currency."""
    profit: Decimal
    """Of a sell: what it brought less what the position had cost, fees and all. Of a buy: 0."""


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
    """Cash, and the position at that price; in quote currency."""


class PaperAccount(Struct, frozen=True, array_like=True, kw_only=True):
    """The bot's account of one symbol: each has its own, in the symbol's quote currency."""

    venue: str
    symbol: str
    version: int = 0
    """Rises with every change."""
    time_us: int = 0
    """Venue time of the last change."""
    enabled: bool = True
    """The bot's switch, as it has arrived here."""
    switch_version: int = 0
    """Of that; 0 where nobody has ever switched it."""
    halted: bool = False
    """The largest loss a day was reached: no orders until the next UTC day."""
    initial_cash: Decimal
    """What the account began with."""
    cash: Decimal
    position: Decimal = Decimal("0E-8")
    """In base currency; never negative."""
    cost: Decimal = Decimal("0E-8")
    """What the position cost, fees included."""
    profit: Decimal = Decimal("0E-8")
    """Of all sells."""
    fees: Decimal = Decimal("0E-8")
    """Of all fills."""
    orders: int = 0
    """How many there were."""
    price: Decimal | None = None
    """The last one that the account was valued at: a fill's trade, or the newest when a candle closed."""
    equity: Decimal
    """Cash, and the position at that price."""
    day_us: int = 0
    """Begin of the UTC day of the last change, by the venue's time."""
    day_equity: Decimal
    """The equity when it began."""


class AccountChanges(NamedTuple):
    """What has changed in one account since somebody last asked."""

    account: PaperAccount
    orders: list[PaperOrder]
    """Those placed, filled or refused, as they are now."""
    fills: list[Fill]
    equities: list[Equity]


class AccountState(NamedTuple):
    """All that the bot needs to go on with an account."""

    account: PaperAccount
    open_orders: list[PaperOrder]
    """In order of number."""


def new_account(venue: str, symbol: str, rules: Rules) -> PaperAccount:
    """Return the account of a symbol that has none."""
    cash = round_down(rules.cash)
    return PaperAccount(
        venue=venue, symbol=symbol, initial_cash=cash, cash=cash, equity=cash, day_equity=cash
    )
