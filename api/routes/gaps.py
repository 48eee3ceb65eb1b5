"""Gaps in trade ids."""

from typing import Annotated, get_args

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import GapListToken, cut_list
from api.http.whole_lists import answer
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import HistoryPage, PageRequest, SymbolFilter, resolve_filter
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.views.gaps import GapState, GapView, gap_view
from db.gaps import GapKey, read_gaps
from tickplant.market import Gap

StateFilter = Annotated[
    GapState | None,
    QueryParameter(
        name="state",
        description="Only gaps in this state; in any if not given.",
        examples=[Example(value="unrecoverable")],
    ),
]


class GapsPage(Struct, frozen=True):
    """Gaps, the last detected first."""

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
    symbol: SymbolFilter = None,
    state_: StateFilter = None,
    *,
    history_page: HistoryPage,
) -> GapsPage:
    """List every gap in trade ids that was ever stored, with its state, newest first.

    A candle's `complete` is true only if none of its trades is missing.
    """
    symbol_id = await resolve_filter(directory, symbol)
    list_key = f"gaps/{symbol_id or ''}/{state_ or ''}"

    async def read(page_request: PageRequest) -> GapsPage:
        last_key = page_request.last_key(GapListToken, list_key)
        async with history.snapshot() as connection:
            gaps = await read_gaps(
                connection,
                symbol=symbol_id,
                states=[state_] if state_ else get_args(GapState),
                before=GapKey(*last_key) if last_key else None,
                limit=page_request.limit + 1,
            )
        shown, next_ = cut_list(gaps, page_request.limit, lambda gap: GapListToken(list_key, _key(gap)))
        return GapsPage([gap_view(gap) for gap in shown], next_)

    return await answer(history_page, read, lambda page: page.gaps, GapView, lambda: history.state(symbol_id))


def _key(gap: Gap) -> GapKey:
    return GapKey(gap.detected_at_us, gap.venue, gap.symbol, gap.first_id, gap.last_id)
