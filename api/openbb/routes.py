"""The routes that OpenBB Workspace requests."""

from typing import Annotated, Any, Final, get_args

from litestar import Router, get
from litestar.params import QueryParameter

from api.access.middleware import NEEDS_ALERTS
from api.openbb.tables import AlertTableRow, CandleTableRow, GapTableRow, MarketTableRow, row
from api.openbb.widgets import DEFAULT_ROWS, MOST_ROWS, apps, options, widgets
from api.queries.candles import ALL_TIME, CandlePageReader
from api.queries.history import TIMEOUT_S, StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.candles import IntervalText, parse_interval
from api.routes.overview import read_overview
from api.routes.parameters import Sender, resolve
from api.routes.responses import Service
from api.udf.routes import UDF
from api.views.alerts import alert_view
from api.views.gaps import GapState, gap_view
from db.alerts.lists import read_alerts
from db.gaps import read_gaps
from db.pool import Pool, snapshot

_RowCount = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS)]


@get("/widgets.json")
async def get_widgets(directory: Service[SymbolDirectory]) -> dict[str, Any]:
    """Return the widgets."""
    return widgets(await directory.all())


@get("/apps.json")
async def get_apps(directory: Service[SymbolDirectory]) -> list[dict[str, Any]]:
    """Return an app that shows all widgets."""
    return apps(await directory.all())


@get("/symbols")
async def get_symbol_options(directory: Service[SymbolDirectory]) -> list[dict[str, str]]:
    """Return the symbols as options of a parameter."""
    return options(await directory.all())


@get("/candles")
async def get_candles(
    symbol: Annotated[str, QueryParameter()],
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    interval: IntervalText = None,
    limit: _RowCount = DEFAULT_ROWS,
) -> list[CandleTableRow]:
    """Return the newest candles of a symbol, oldest first."""
    symbol_id = await resolve(directory, symbol)
    length = parse_interval(interval, None)
    async with history.snapshot() as connection:
        page = await CandlePageReader(connection, symbol_id, length).read(
            ALL_TIME, limit, newest=True, fill="none"
        )
    return [row(candle, CandleTableRow) for candle in page.decoded()]


@get("/market")
async def get_market(history: Service[StoredHistory]) -> list[MarketTableRow]:
    """Return the last 24 hours of all symbols."""
    return [row(view, MarketTableRow) for view in await read_overview(history)]


@get("/gaps")
async def get_gap_rows(history: Service[StoredHistory], limit: _RowCount = DEFAULT_ROWS) -> list[GapTableRow]:
    """Return the gaps of all symbols, newest first."""
    async with history.snapshot() as connection:
        gaps = await read_gaps(connection, symbol=None, states=get_args(GapState), before=None, limit=limit)
    return [row(gap_view(gap), GapTableRow) for gap in gaps]


@get("/alerts", opt=NEEDS_ALERTS)
async def get_alert_rows(
    pool: Service[Pool], caller: Sender, limit: _RowCount = DEFAULT_ROWS
) -> list[AlertTableRow]:
    """Return the alerts that the caller may see, newest first."""
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        alerts = await read_alerts(
            connection,
            user=None,
            symbol=None,
            active_only=False,
            before=None,
            limit=limit,
            owner=caller.owner,
        )
    return [row(alert_view(alert), AlertTableRow) for alert in alerts]


OPENBB: Final = Router(
    "/openbb",
    route_handlers=[
        *(get_widgets, get_apps, get_symbol_options, get_candles, get_market, get_gap_rows, get_alert_rows),
        UDF,  # of the widget `chart`
    ],
    include_in_schema=False,  # OpenBB documents them
)
