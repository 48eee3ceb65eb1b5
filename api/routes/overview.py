"""The market overview, and the completeness of days."""

from typing import Annotated, Final

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Service
from api.views.fields import SymbolName
from api.views.overview import DayView, OverviewView, day_view, overview_view
from db.overview import Missing, read_completeness, read_hourly_closes, read_missing
from db.stats import read_changes_24h

_NOTHING_KNOWN: Final = Missing(0, None)
_MAX_DAYS: Final = 366


class Overview(Struct, frozen=True):
    """Every symbol that has ever traded."""

    symbols: list[OverviewView]


class CompletenessList(Struct, frozen=True):
    """The completeness of a symbol's last days, newest first."""

    symbol: SymbolName
    days: list[DayView]


DayCount = Annotated[
    int,
    QueryParameter(
        ge=1,
        le=_MAX_DAYS,
        description="How many days to show, up to that of the venue's time; days without trades are omitted.",
    ),
]


@get("/overview", summary="Market overview", tags=["derived"], responses=BAD_PARAMETER | UNAVAILABLE)
async def get_overview(history: Service[StoredHistory]) -> Overview:
    """Return the last 24 hours of all symbols, with their gaps and closes by the hour, in order of name."""
    return Overview(await read_overview(history))


async def read_overview(history: StoredHistory) -> list[OverviewView]:
    """Return the last 24 hours of all symbols, in order of name."""
    async with history.snapshot() as connection:
        changes = await read_changes_24h(connection)
        missing = await read_missing(connection)
        closes = await read_hourly_closes(connection, changes)
    return [
        overview_view(change, missing.get(change.symbol, _NOTHING_KNOWN), closes.get(change.symbol, []))
        for change in changes
    ]


@get(
    "/completeness/{symbol:path}",
    summary="Completeness of days",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_completeness(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    days: DayCount = 1,
) -> CompletenessList:
    """Return how many minutes of a symbol's last days are proven to be complete, newest day first."""
    symbol_id = await resolve(directory, symbol)
    async with history.snapshot() as connection:
        found = await read_completeness(connection, symbol_id, days=days)
    return CompletenessList(str(symbol_id), [day_view(day) for day in found])
