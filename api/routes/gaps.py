"""Gaps in trade ids."""

from typing import Annotated, get_args

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import DEFAULT_PAGE_LENGTH, GapListToken, cut_list, decode_token
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import After, Limit, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.views.gaps import GapState, GapView, gap_view
from db.gaps import GapKey, read_gaps
from tickplant.market import Gap

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
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    symbol: OfSymbol = None,
    state_: InState = None,
    limit: Limit = DEFAULT_PAGE_LENGTH,
    after: After = None,
) -> GapsPage:
    """List every gap in trade ids that was ever stored, with its state; the newest first.

    `complete` of a candle tells whether any of its trades may be missing.
    """
    found = await resolve(directory, symbol) if symbol is not None else None
    of = f"gaps/{found or ''}/{state_ or ''}"
    before = GapKey(*decode_token(after, GapListToken, of).beyond) if after is not None else None
    states = [state_] if state_ else get_args(GapState)
    async with history.snapshot() as connection:
        gaps = await read_gaps(connection, symbol=found, states=states, before=before, limit=limit + 1)
    page, next_ = cut_list(gaps, limit, lambda gap: GapListToken(of, _key(gap)))
    return GapsPage([gap_view(gap) for gap in page], next_)


def _key(gap: Gap) -> GapKey:
    return GapKey(gap.detected_at_us, gap.venue, gap.symbol, gap.first_id, gap.last_id)
