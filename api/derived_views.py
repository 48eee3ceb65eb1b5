"""What callers see of alerts that fired and of the paper bot, over REST and websockets alike. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from api.views import DecimalText, SymbolName, Time, plain
from tickplant.derived import AlertKind, Firing
from tickplant.market import SymbolId
from tickplant.paper import Account
from tickplant.times import format_time


class FiringView(Struct, frozen=True):
    """An alert that fired. Alert and number identify it."""

    alert_id: str
    number: Annotated[int, Meta(description="Counts the alert's firings from 1.")]
    user: str
    symbol: SymbolName
    kind: AlertKind
    event_time: Time
    """When the condition came true, by the venue's clock."""
    trade_id: Annotated[int | None, Meta(description="That made it so; null for silence and gaps.")]
    price: Annotated[DecimalText | None, Meta(description="Of that trade.")]
    value: Annotated[str | None, Meta(description="A price, percent, seconds, or the first id of a gap.")]
    threshold: Annotated[str | None, Meta(description="What it was compared with.")]
    note: Annotated[str, Meta(description="The user's own words.")]


class AccountView(Struct, frozen=True):
    """The paper bot's account of one symbol. Paper only: nothing is ever sent to a venue."""

    symbol: SymbolName
    version: Annotated[int, Meta(description="Rises with every change.")]
    time: Time
    """Of the last change, by the venue's clock."""
    enabled: Annotated[bool, Meta(description="The bot's switch, as it has arrived at this account.")]
    halted: Annotated[
        bool,
        Meta(description="The largest loss a day was reached: no orders until the next UTC day."),
    ]
    initial_cash: Annotated[DecimalText, Meta(description="What it began with, in quote currency.")]
    cash: Annotated[DecimalText, Meta(description="In quote currency.")]
    position: Annotated[DecimalText, Meta(description="In base currency.")]
    cost: Annotated[DecimalText, Meta(description="What the position cost, fees included.")]
    price: Annotated[DecimalText | None, Meta(description="The last one that it was valued at.")]
    equity: Annotated[DecimalText, Meta(description="Cash, and the position at that price.")]
    profit: Annotated[DecimalText, Meta(description="Of all sells, fees included.")]
    fees: Annotated[DecimalText, Meta(description="Of all fills.")]
    orders: Annotated[int, Meta(description="How many there were, filled or refused.")]
    day_equity: Annotated[DecimalText, Meta(description="The equity when the UTC day began.")]


def firing_view(firing: Firing) -> FiringView:
    """Return a firing as callers see it."""
    return FiringView(
        firing.alert_id,
        firing.number,
        firing.user,
        str(SymbolId(firing.venue, firing.symbol)),
        firing.kind,
        format_time(firing.event_time_us),
        firing.trade_id,
        firing.price,
        firing.value,
        firing.threshold,
        firing.note,
    )


def account_view(account: Account) -> AccountView:
    """Return a paper account as callers see it."""
    return AccountView(
        str(SymbolId(account.venue, account.symbol)),
        account.version,
        format_time(account.time_us),
        account.enabled,
        account.halted,
        plain(account.initial_cash),
        plain(account.cash),
        plain(account.position),
        plain(account.cost),
        None if account.price is None else plain(account.price),
        plain(account.equity),
        plain(account.profit),
        plain(account.fees),
        account.orders,
        plain(account.day_equity),
    )
