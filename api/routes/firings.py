"""Firings of alerts."""

from typing import Final

from litestar import get
from msgspec import Struct

from api.access.caller import ApiCaller
from api.access.middleware import NEEDS_ALERTS
from api.http.paging import FiringListToken, cut_list
from api.http.problems import Problem
from api.http.whole_lists import answer
from api.queries.history import TIMEOUT_S, StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import (
    AlertId,
    HistoryPage,
    PageRequest,
    Sender,
    SymbolFilter,
    UserFilter,
    resolve_filter,
    storable_id,
)
from api.routes.responses import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
    documented_problem,
)
from api.views.alerts import FiringView, firing_view
from db.alerts.firings import FiringKey, read_firings
from db.alerts.lists import has_alert
from db.pool import Pool, snapshot
from tickplant.market import SymbolId

UNKNOWN_ALERT: Final = {
    404: documented_problem("There never was such an alert. Or `after` is not a `next` of this list."),
}


class FiringsPage(Struct, frozen=True):
    """Firings, newest first."""

    firings: list[FiringView]
    next: Next


@get(
    "/alerts/firings",
    summary="Firings",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_firings(
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    caller: Sender,
    user: UserFilter = None,
    symbol: SymbolFilter = None,
    *,
    history_page: HistoryPage,
) -> FiringsPage:
    """List the firings of all alerts, including deleted ones, newest first by the venue's clock."""
    symbol_id = await resolve_filter(directory, symbol)
    list_key = f"firings/{user or ''}/{symbol_id or ''}"
    return await _firings(history, list_key, history_page, caller, user=user, symbol=symbol_id)


@get(
    "/alerts/{alert_id:str}/firings",
    summary="Firings of an alert",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_ALERT | UNAVAILABLE,
)
async def get_firings_of_alert(
    alert_id: AlertId,
    history: Service[StoredHistory],
    pool: Service[Pool],
    caller: Sender,
    history_page: HistoryPage,
) -> FiringsPage:
    """List the firings of an alert, newest first, even if it has been deleted."""
    alert_id = storable_id(alert_id)
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        if not await has_alert(connection, alert_id, owner=caller.owner):
            raise Problem(404, "unknown_alert", "there is no such alert")
    return await _firings(history, f"firings/{alert_id}", history_page, caller, alert_id=alert_id)


async def _firings(
    history: StoredHistory,
    list_key: str,
    requested: PageRequest,
    caller: ApiCaller,
    *,
    alert_id: str | None = None,
    user: str | None = None,
    symbol: SymbolId | None = None,
) -> FiringsPage:
    async def read(page: PageRequest) -> FiringsPage:
        last_key = page.last_key(FiringListToken, list_key)
        async with history.snapshot() as connection:
            firings = await read_firings(
                connection,
                alert_id=alert_id,
                user=user,
                symbol=symbol,
                before=FiringKey(*last_key) if last_key else None,
                limit=page.limit + 1,
                owner=caller.owner,
            )
        shown, next_ = cut_list(
            firings,
            page.limit,
            lambda firing: FiringListToken(list_key, (firing.event_time_us, firing.alert_id, firing.number)),
        )
        return FiringsPage([firing_view(firing) for firing in shown], next_)

    async def state() -> str:
        return f"{caller.owner} {await history.state(symbol)}"

    return await answer(requested, read, lambda page: page.firings, FiringView, state)
