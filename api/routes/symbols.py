"""The list of symbols."""

from typing import Annotated

from litestar import get
from msgspec import Meta, Struct

from api.http.paging import NameListToken, cut_list
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import Page
from api.routes.responses import BAD_PARAMETER, UNAVAILABLE, UNKNOWN_PAGE, Next, Service
from api.views.fields import Source, SymbolName, Time
from db.provenance import read_database_source
from db.symbols import SymbolRow, read_stored_symbols
from tickplant.market import SymbolId
from tickplant.provenance import DataSource
from tickplant.times import format_time

_LIST = "symbols"


class SymbolView(Struct, frozen=True):
    """A symbol, and what is stored of it."""

    symbol: SymbolName
    venue: str
    name: Annotated[str, Meta(description="As the venue writes it.", examples=["BTCUSDT"])]
    configured: Annotated[bool, Meta(description="Whether this plant's settings name it.")]
    first_trade_id: int | None
    last_trade_id: int | None
    missing_trades: Annotated[
        int | None,
        Meta(
            description="How many ids between the first and the last are not stored; null (unknown) if the"
            " venue has no trade ids."
        ),
    ]
    seen_until: Annotated[
        Time | None, Meta(description="The venue's time up to which its trades have been seen.")
    ]
    source: Source


class SymbolsPage(Struct, frozen=True):
    """Symbols in alphabetical order."""

    symbols: list[SymbolView]
    next: Next


@get("/symbols", summary="Symbols", tags=["market"], responses=BAD_PARAMETER | UNKNOWN_PAGE | UNAVAILABLE)
async def get_symbols(
    history: Service[StoredHistory], directory: Service[SymbolDirectory], page: Page
) -> SymbolsPage:
    """List the symbols of the settings and those that have trades, in alphabetical order."""
    last_name = page.last_key(NameListToken, _LIST) or ""
    async with history.snapshot() as connection:
        rows = {row.id: row for row in await read_stored_symbols(connection)}
        source = await read_database_source(connection)
    known = sorted((str(symbol), symbol) for symbol in directory.configured | rows.keys())
    remaining = [(name, symbol) for name, symbol in known if name > last_name]
    shown, next_ = cut_list(remaining, page.limit, lambda named: NameListToken(_LIST, named[0]))
    return SymbolsPage([_view(symbol, rows.get(symbol), directory, source) for _, symbol in shown], next_)


def _view(
    symbol: SymbolId, row: SymbolRow | None, directory: SymbolDirectory, source: DataSource | None
) -> SymbolView:
    return SymbolView(
        str(symbol),
        symbol.venue,
        symbol.symbol,
        symbol in directory.configured,
        row.first_trade_id if row else None,
        row.last_trade_id if row else None,
        row.missing if row else 0,
        format_time(row.watermark_us) if row else None,
        source,
    )
