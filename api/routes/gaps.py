"""What is or was missing."""

from typing import Annotated, get_args

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import USUAL, RestOfGaps, cut_page, read_rest, write_rest
from api.queries.directory import Directory
from api.queries.history import History
from api.routes.answers import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.routes.parameters import After, Limit, resolve
from api.views.trades import GapState, GapView, gap_view
from db.gaps import GapKey, read_gaps

OfSymbol = Annotated[
    str | None,
    QueryParameter(
        description="Only gaps of this symbol, written as elsewhere; of all if not given.",
        examples=[Example(value="binance:BTCUSDT")],
    ),
]
InState = Annotated[
    GapState | None,
    QueryParameter(
        name="state",
        description="Only gaps in this state; in any if not given.",
        examples=[Example(value="unrecoverable")],
    ),
]


class GapsPage(Struct, frozen=True):
    """Gaps, the one detected last first."""

    gaps: list[GapView]
    next: Next


@get(
    "/gaps",
    summary="Gaps",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_gaps(
    directory: Service[Directory],
    history: Service[History],
    symbol: OfSymbol = None,
    state_: InState = None,
    limit: Limit = USUAL,
    after: After = None,
) -> GapsPage:
    """List every gap in trade ids that was ever stored, and what became of it; the newest first.

    A candle whose trades may be missing says so by its `complete`.
    """
    found = await resolve(directory, symbol) if symbol is not None else None
    of = f"gaps/{found or ''}/{state_ or ''}"
    before = GapKey(*read_rest(after, RestOfGaps, of).beyond) if after is not None else None
    states = [state_] if state_ else get_args(GapState)
    async with history.at_once() as connection:
        gaps = await read_gaps(connection, symbol=found, states=states, before=before, limit=limit + 1)
    page = cut_page(gaps, limit)
    rest = None
    if page.following:
        last = page.rows[-1]
        key = (last.detected_at_us, last.venue, last.symbol, last.first_id, last.last_id)
        rest = RestOfGaps(of, key)
    return GapsPage([gap_view(gap) for gap in page.rows], write_rest(rest))
