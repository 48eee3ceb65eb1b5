"""The paper bot: its accounts, orders and equity, and its switch."""

from typing import Annotated, Final, Literal

from litestar import get, patch
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, QueryParameter
from msgspec import Meta, Struct

from api.access.middleware import NEEDS_ADMIN
from api.http.paging import MAX_PAGE_LENGTH, cut_range
from api.http.whole_lists import answer
from api.queries.history import TIMEOUT_S, StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import (
    RangePage,
    RangePageRequest,
    SymbolFilter,
    SymbolText,
    resolve,
    resolve_filter,
)
from api.routes.responses import (
    BAD_BODY,
    BAD_PARAMETER,
    CONFLICT,
    ORIGIN_REFUSED,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
)
from api.user_changes import UserChangeSender
from api.views.bot import (
    AccountView,
    EquityView,
    OrderView,
    TotalView,
    account_view,
    equity_view,
    order_view,
    total_views,
)
from api.views.fields import SymbolName, Time
from db.bot.lists import EquityBound, read_accounts, read_equity, read_orders
from db.bot.switch import read_switch, write_switch
from db.pool import DatabaseConnection, Pool, snapshot
from tickplant.times import format_time

NOTICE: Final = "On paper only. No order is ever sent to a venue: the bot fills its orders itself."
_ORDERS: Final = 50


class SwitchView(Struct, frozen=True):
    """Whether the bot trades."""

    enabled: bool
    version: Annotated[int, Meta(description="How many times it was switched; 0 for never.")]
    reason: Annotated[str | None, Meta(description="The reason given when it was last switched.")]
    switched_at: Time | None
    """By the database's clock."""
    arrived: Annotated[
        bool,
        Meta(description="Whether all workers have applied it; until then some accounts trade as before."),
    ]


class BotView(Struct, frozen=True):
    """The paper bot."""

    paper: Literal[True]
    notice: Annotated[str, Meta(examples=[NOTICE])]
    switch: SwitchView
    totals: Annotated[list[TotalView], Meta(description="Of all accounts whose quote currency is known.")]
    accounts: list[AccountView]
    orders: Annotated[list[OrderView], Meta(description="The newest orders, newest first.")]


class SwitchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How to switch the bot."""

    enabled: bool
    reason: Annotated[
        str, Meta(max_length=200, pattern=r"^[^\x00]*$", description="Shown later with the switch.")
    ] = ""


SwitchBody = Annotated[
    SwitchRequest, BodyKwarg(examples=[Example(summary="Off", value={"enabled": False, "reason": "lunch"})])
]


class EquityPage(Struct, frozen=True):
    """The equity of an account over time, oldest first."""

    symbol: SymbolName
    equity: list[EquityView]
    next: Next


OrdersLimit = Annotated[int, QueryParameter(ge=0, le=MAX_PAGE_LENGTH, description="The most orders to show.")]


@get(
    "/bot",
    summary="Paper bot",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_bot(
    directory: Service[SymbolDirectory],
    pool: Service[Pool],
    symbol: SymbolFilter = None,
    orders: OrdersLimit = _ORDERS,
) -> BotView:
    """Return the paper bot's accounts, with their positions, its newest orders and its switch.

    It follows signals on paper only, with an account of its own for each symbol, in the symbol's quote
    currency. An order is filled at the price of the trade after the signal's, with fee and slippage. It never
    talks to a venue's order API.
    """
    symbol_id = await resolve_filter(directory, symbol)
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        accounts = await read_accounts(connection, symbol_id)
        newest = await read_orders(connection, symbol_id, orders)
        switch = await _switch_view(connection)
    return BotView(
        True,
        NOTICE,
        switch,
        total_views(accounts),
        [account_view(account) for account in accounts],
        [order_view(order, fill) for order, fill in newest],
    )


@patch(
    "/bot",
    summary="Switch the paper bot",
    tags=["derived"],
    opt=NEEDS_ADMIN,
    responses=BAD_PARAMETER | CONFLICT | ORIGIN_REFUSED | BAD_BODY | UNAVAILABLE,
)
async def switch_bot(
    data: SwitchBody, pool: Service[Pool], user_changes: Service[UserChangeSender]
) -> SwitchView:
    """Switch the bot off or on: no orders while it is off, and pending orders are refused.

    It takes effect for each account at a defined place among its trades, a moment later; `arrived` is true
    once all workers have applied it. Positions stay as they are.
    """
    await write_switch(pool, enabled=data.enabled, reason=data.reason)
    user_changes.send_soon()
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        return await _switch_view(connection)


@get(
    "/bot/equity/{symbol:path}",
    summary="Equity of the paper bot",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_bot_equity(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    range_page: RangePage,
) -> EquityPage:
    """List the equity of a symbol's account at the end of each minute with trades, oldest first.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back.
    """
    symbol_id = await resolve(directory, symbol)

    async def read(page_request: RangePageRequest) -> EquityPage:
        requested = page_request.time_range(f"equity/{symbol_id}")
        async with history.snapshot() as connection:
            equities = await read_equity(
                connection,
                symbol_id,
                after=EquityBound(*requested.low),
                before=EquityBound(*requested.high),
                limit=page_request.limit + 1,
                newest=requested.newest,
            )
        page, next_ = cut_range(equities, page_request.limit, requested, lambda equity: (equity.time_us, 0))
        return EquityPage(str(symbol_id), [equity_view(equity) for equity in page], next_)

    return await answer(
        range_page, read, lambda page: page.equity, EquityView, lambda: history.state(symbol_id)
    )


async def _switch_view(connection: DatabaseConnection) -> SwitchView:
    switching = await read_switch(connection)
    if switching is None:
        return SwitchView(True, 0, None, None, True)
    switch = switching.switch
    return SwitchView(
        switch.enabled,
        switch.version,
        switch.reason or None,
        format_time(switching.switched_us),
        switching.arrived,
    )
