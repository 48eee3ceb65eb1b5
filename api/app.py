"""The Litestar application: its routes, and the services injected into them."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from msgspec import Struct

from api.access.middleware import OPEN, Access, checked
from api.binance.routes import BINANCE
from api.health import Health
from api.http.dependencies import resolve_in_turn
from api.http.openapi import complete
from api.http.problems import problem_response
from api.live.event_gate import EventGate
from api.live.gate import WebsocketGate
from api.live.hub import Hub
from api.openbb.routes import OPENBB
from api.queries.connections import Connections
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from api.queries.symbols import SymbolDirectory
from api.requests.webhooks import WebhookAdmission
from api.routes.alerts import (
    AlertLimits,
    get_alert,
    get_alerts,
    patch_alert,
    post_alert,
    remove_alert,
)
from api.routes.all_candles import get_all_candles
from api.routes.averages import get_moving_average
from api.routes.bot import get_bot, get_bot_equity, switch_bot
from api.routes.candles import get_ohlcv
from api.routes.connections import get_connections
from api.routes.events import get_sse
from api.routes.firings import get_firings, get_firings_of_alert
from api.routes.gaps import get_gaps
from api.routes.health import get_health, get_live, get_metrics, get_ready
from api.routes.html import DOCUMENTATION_HEADERS, DocumentationPage, get_page, refuse_unknown_documentation
from api.routes.notifications import get_notifications
from api.routes.overview import get_completeness, get_overview
from api.routes.page_files import get_page_file
from api.routes.parameters import OF_REQUESTS
from api.routes.prices import get_price
from api.routes.request_checks import MAX_BODY_BYTES, StrictRequest, request_check
from api.routes.signals import get_all_signals, get_signals
from api.routes.stats import get_24h_change, get_24h_changes, get_statistics
from api.routes.symbols import get_symbols
from api.routes.trades import get_trades
from api.routes.webhooks import get_webhooks
from api.routes.websocket import get_ws, get_ws_ohlcv, get_ws_price, ws, ws_ohlcv, ws_price
from api.udf.routes import UDF
from api.user_changes import UserChangeSender
from db.pool import Pool

EXPOSED: Final = ["RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"]
"""Headers that pages of allowed origins may read, besides those that all may."""
PREFIX: Final = "/api/v1"
DOCUMENTATION: Final = "/docs"

API_ROUTES: Final = [
    get_symbols,
    get_price,
    get_trades,
    get_ohlcv,
    get_all_candles,
    get_gaps,
    get_moving_average,
    get_24h_change,
    get_24h_changes,
    get_overview,
    get_completeness,
    get_statistics,
    get_signals,
    get_all_signals,
    get_alerts,
    post_alert,
    get_firings,
    get_webhooks,
    get_notifications,
    get_alert,
    patch_alert,
    remove_alert,
    get_firings_of_alert,
    get_bot,
    get_bot_equity,
    switch_bot,
    get_connections,
]
"""The REST API, under `PREFIX`."""

OTHER_ROUTES: Final = [
    get_page,
    get_page_file,
    get_ws,
    get_ws_price,
    get_ws_ohlcv,
    get_sse,
    ws,
    ws_price,
    ws_ohlcv,
    get_live,
    get_ready,
    get_health,
    get_metrics,
]
"""The page, websockets, server-sent events, health and metrics."""


class Services(Struct, kw_only=True):
    """The services of the API; each is injected into the routes that have a parameter of its name."""

    directory: SymbolDirectory
    history: StoredHistory
    """May read from a replica, which lags."""
    prices: Prices
    connections: Connections
    pool: Pool
    """Of the primary: for data that users change, and then read."""
    user_changes: UserChangeSender
    alert_limits: AlertLimits
    webhook_admission: WebhookAdmission
    hub: Hub
    websocket_gate: WebsocketGate
    event_gate: EventGate
    health: Health
    access: Access


def create_app(services: Services, *, origins: Sequence[str] = ()) -> Litestar:
    """Create the application.

    Args:
        services: injected into the routes, as they are when a request arrives.
        origins: those whose pages may read responses, besides the API's own; `*` for any.
    """
    app = Litestar(
        route_handlers=[
            Router(
                PREFIX,
                route_handlers=API_ROUTES,
                before_request=request_check(origins),
                request_class=StrictRequest,
                request_max_body_size=MAX_BODY_BYTES,
            ),
            BINANCE,
            UDF,
            OPENBB,
            *OTHER_ROUTES,
        ],
        dependencies={
            **{name: _provide(services, name) for name in Services.__struct_fields__},
            **OF_REQUESTS,
        },
        exception_handlers={Exception: problem_response},
        middleware=[checked(lambda: services.access)],
        cors_config=CORSConfig(allow_origins=list(origins), allow_methods=["GET"], expose_headers=EXPOSED)
        if origins
        else None,
        openapi_config=_openapi(),
        logging_config=None,
    )
    complete(app)
    resolve_in_turn(app)
    return app


def _provide(services: Services, name: str) -> Provide:
    return Provide(lambda: getattr(services, name), sync_to_thread=False)


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="tickplant",
        version=version("tickplant"),
        description="Trades in, exact candles out: history over REST, live updates over websockets.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=[
            Tag("market", "Stored trades, candles and gaps, and last prices."),
            Tag(
                "derived",
                "Averages, statistics, signals, alerts and the paper bot.",
            ),
            Tag("live", "Live updates."),
            Tag("operation", "The state of this process."),
        ],
        openapi_router=Router(
            DOCUMENTATION,
            route_handlers=[],
            response_headers=DOCUMENTATION_HEADERS,
            after_request=refuse_unknown_documentation,
            include_in_schema=False,
            opt=OPEN,
        ),
        render_plugins=[DocumentationPage()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "key": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="An API key, made by `tickplant keys create`. On loopback none is needed.",
                )
            }
        ),
        security=[{}, {"key": []}],
    )
