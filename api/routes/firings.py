"""Firings of alerts."""

from litestar import get
from msgspec import Struct

from api.http.paging import DEFAULT_PAGE_LENGTH, FiringListToken, cut_list, decode_token
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.alerts import AlertId, OfSymbol, OfUser, storable_id
from api.routes.parameters import After, Limit, resolve
from api.routes.responses import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_PAGE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
)
from api.views.alerts import FiringView, firing_view
from db.alerts.firings import FiringKey, read_firings
from tickplant.market import SymbolId


class FiringsPage(Struct, frozen=True):
    """Firings, the newest first."""

    firings: list[FiringView]
    next: Next


@get(
    "/alerts/firings",
    summary="Firings",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_firings(
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    user: OfUser = None,
    symbol: OfSymbol = None,
    limit: Limit = DEFAULT_PAGE_LENGTH,
    after: After = None,
) -> FiringsPage:
    """List the firings of all alerts, deleted ones included; the newest first, by the venue's clock."""
    found = await resolve(directory, symbol) if symbol is not None else None
    of = f"firings/{user or ''}/{found or ''}"
    return await _firings(history, of, limit, after, user=user, symbol=found)


@get(
    "/alerts/{alert_id:str}/firings",
    summary="Firings of an alert",
    tags=["derived"],
    responses=BAD_PARAMETER | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_firings_of_alert(
    alert_id: AlertId,
    history: Service[StoredHistory],
    limit: Limit = DEFAULT_PAGE_LENGTH,
    after: After = None,
) -> FiringsPage:
    """List the firings of an alert, the newest first; also after it was deleted."""
    alert_id = storable_id(alert_id)
    return await _firings(history, f"firings/{alert_id}", limit, after, alert_id=alert_id)


async def _firings(
    history: StoredHistory,
    of: str,
    limit: int,
    after: str | None,
    *,
    alert_id: str | None = None,
    user: str | None = None,
    symbol: SymbolId | None = None,
) -> FiringsPage:
    before = FiringKey(*decode_token(after, FiringListToken, of).beyond) if after is not None else None
    async with history.snapshot() as connection:
        firings = await read_firings(
            connection, alert_id=alert_id, user=user, symbol=symbol, before=before, limit=limit + 1
        )
    page, next_ = cut_list(
        firings,
        limit,
        lambda firing: FiringListToken(of, (firing.event_time_us, firing.alert_id, firing.number)),
    )
    return FiringsPage([firing_view(firing) for firing in page], next_)
