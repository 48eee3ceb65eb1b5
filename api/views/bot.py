"""JSON views of the paper bot, the same over REST and websockets. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.views.fields import DecimalText, SymbolName, Time, decimal_json
from tickplant.assets import quote_of
from tickplant.bot import Equity, Fill, PaperAccount, PaperOrder
from tickplant.market import EXACT, Side, SymbolId
from tickplant.times import format_time


class AccountView(Struct, frozen=True):
    """The paper bot's account of one symbol. Paper only: nothing is ever sent to a venue."""

    symbol: SymbolName
    version: Annotated[int, Meta(description="Rises with every change.")]
    time: Time | None
    """Of the last change, by the venue's clock; null where nothing has happened yet."""
    enabled: Annotated[bool, Meta(description="The bot's switch, as applied to this account.")]
    halted: Annotated[
        bool,
        Meta(description="The maximum daily loss was reached: no orders until the next UTC day."),
    ]
    initial_cash: Annotated[DecimalText, Meta(description="The cash at the start, in quote currency.")]
    cash: Annotated[DecimalText, Meta(description="In quote currency.")]
    position: Annotated[DecimalText, Meta(description="In base currency.")]
    cost: Annotated[DecimalText, Meta(description="What the position cost, fees included.")]
    price: Annotated[DecimalText | None, Meta(description="The last price at which the position was valued.")]
    equity: Annotated[DecimalText, Meta(description="Cash, and the position at that price.")]
    profit: Annotated[DecimalText, Meta(description="Of all sells, fees included.")]
    fees: Annotated[DecimalText, Meta(description="Of all fills.")]
    orders: Annotated[int, Meta(description="The number of orders, filled or refused.")]
    day_equity: Annotated[DecimalText, Meta(description="The equity at the start of the UTC day.")]


class FillView(Struct, frozen=True):
    """The fill of an order, always of its full size."""

    trade_id: Annotated[int, Meta(description="The trade after the signal's, at whose price it was filled.")]
    event_time: Time
    """Of that trade."""
    price: Annotated[DecimalText, Meta(description="Of that trade, with slippage.")]
    size: Annotated[DecimalText, Meta(description="In base currency.")]
    quote: Annotated[DecimalText, Meta(description="Price times size, in quote currency, without the fee.")]
    fee: Annotated[DecimalText, Meta(description="In quote currency.")]
    profit: Annotated[
        DecimalText, Meta(description="Of a sell: the proceeds minus the cost of the position; else 0.")
    ]


class OrderView(Struct, frozen=True):
    """A market order on paper, identified by symbol and number."""

    symbol: SymbolName
    number: Annotated[int, Meta(description="The account's orders, counted from 1.")]
    strategy: Annotated[str, Meta(examples=["cross"])]
    signal_number: Annotated[int, Meta(description="The number of the strategy's signal that it follows.")]
    side: Side
    trade_id: Annotated[int, Meta(description="The newest trade when it was placed; the next one fills it.")]
    event_time: Time
    """When it was placed, by the venue's clock."""
    state: Literal["open", "filled", "refused"]
    reason: Annotated[str | None, Meta(description="Why it was refused.")]
    fill: FillView | None


class EquityView(Struct, frozen=True):
    """The equity of an account when a candle closed."""

    time: Time
    cash: Annotated[DecimalText, Meta(description="In quote currency.")]
    position: Annotated[DecimalText, Meta(description="In base currency.")]
    price: Annotated[DecimalText, Meta(description="Of the newest trade.")]
    equity: Annotated[DecimalText, Meta(description="Cash, and the position at that price.")]


class TotalView(Struct, frozen=True):
    """The sums of the accounts in one quote currency."""

    quote: Annotated[str, Meta(description="The quote currency.", examples=["USDT"])]
    accounts: Annotated[int, Meta(description="The number of accounts.")]
    initial_cash: DecimalText
    cash: DecimalText
    equity: DecimalText
    profit: DecimalText
    fees: DecimalText


def account_view(account: PaperAccount) -> AccountView:
    """Return the JSON view of a paper account."""
    return AccountView(
        str(SymbolId(account.venue, account.symbol)),
        account.version,
        format_time(account.time_us) if account.time_us else None,
        account.enabled,
        account.halted,
        decimal_json(account.initial_cash),
        decimal_json(account.cash),
        decimal_json(account.position),
        decimal_json(account.cost),
        None if account.price is None else decimal_json(account.price),
        decimal_json(account.equity),
        decimal_json(account.profit),
        decimal_json(account.fees),
        account.orders,
        decimal_json(account.day_equity),
    )


def order_view(order: PaperOrder, fill: Fill | None) -> OrderView:
    """Return the JSON view of an order."""
    return OrderView(
        str(SymbolId(order.venue, order.symbol)),
        order.number,
        order.strategy,
        order.signal_number,
        order.side,
        order.trade_id,
        format_time(order.time_us),
        order.state,
        order.reason or None,
        _fill_view(fill) if fill else None,
    )


def _fill_view(fill: Fill) -> FillView:
    return FillView(
        fill.trade_id,
        format_time(fill.time_us),
        decimal_json(fill.price),
        decimal_json(fill.size),
        decimal_json(fill.quote),
        decimal_json(fill.fee),
        decimal_json(fill.profit),
    )


def equity_view(equity: Equity) -> EquityView:
    """Return the JSON view of the equity of an account."""
    return EquityView(
        format_time(equity.time_us),
        decimal_json(equity.cash),
        decimal_json(equity.position),
        decimal_json(equity.price),
        decimal_json(equity.equity),
    )


def total_views(accounts: Iterable[PaperAccount]) -> list[TotalView]:
    """Sum the accounts by quote currency, without those whose quote currency is unknown."""
    groups: defaultdict[str, list[PaperAccount]] = defaultdict(list)
    for account in accounts:
        quote = quote_of(account.symbol)
        if quote is not None:
            groups[quote].append(account)
    return [
        TotalView(
            quote,
            len(group),
            *(
                decimal_json(_sum(getattr(account, name) for account in group))
                for name in ("initial_cash", "cash", "equity", "profit", "fees")
            ),
        )
        for quote, group in sorted(groups.items())
    ]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
