"""JSON views of gaps, the same over REST and websockets. Pure."""

from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from api.views.fields import SymbolName, Time
from tickplant.market import Gap, SymbolId
from tickplant.times import format_time

GapState = Literal["open", "backfilling", "unrecoverable", "healed"]


class GapView(Struct, frozen=True):
    """Trade ids of a symbol that are or were missing."""

    symbol: SymbolName
    venue: str
    first_id: Annotated[int, Meta(description="The first id that was missing.", examples=[3735683259])]
    last_id: Annotated[int, Meta(description="The last, inclusive.", examples=[3735683262])]
    missing: Annotated[int, Meta(description="How many of them are still missing.")]
    state: Annotated[
        GapState,
        Meta(
            description="`open`; `backfilling` while they are requested from the venue; `healed`: none is"
            " missing any more; `unrecoverable`: the venue doesn't return them, for the stated `reason`."
        ),
    ]
    cause: Annotated[
        Literal["ours", "venue"],
        Meta(description="`ours`: not received; `venue`: the venue has no trades of these ids."),
    ]
    reason: Annotated[str | None, Meta(description="The venue's reason.")]
    after_time: Annotated[Time, Meta(description="The symbol's venue time when the gap opened.")]
    detected_at: Annotated[Time, Meta(description="When the gap was stored.")]


def gap_view(gap: Gap) -> GapView:
    """Return the JSON view of a gap."""
    return GapView(
        str(SymbolId(gap.venue, gap.symbol)),
        gap.venue,
        gap.first_id,
        gap.last_id,
        gap.missing,
        cast(GapState, gap.state),
        cast(Literal["ours", "venue"], gap.cause),
        gap.reason,
        format_time(gap.after_time_us),
        format_time(gap.detected_at_us),
    )
