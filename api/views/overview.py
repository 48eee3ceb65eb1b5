"""JSON views of the market overview and of the completeness of days. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from api.views.fields import DecimalText, decimal_json
from api.views.stats import ChangeView, change_view
from db.overview import DayCompleteness, Missing
from db.stats import Change24h
from tickplant.assets import quote_of


class OverviewView(ChangeView, frozen=True, kw_only=True):
    """A symbol's last 24 hours, with what is missing of it, and its closes by the hour."""

    quote: Annotated[str | None, Meta(description="The quote currency; null if unknown.", examples=["USDT"])]
    gaps: Annotated[int, Meta(description="Gaps that are not healed, of any time.")]
    missing_trades: Annotated[
        int | None,
        Meta(description="How many trade ids are not stored; null (unknown) if the venue has no trade ids."),
    ]
    closes: Annotated[
        list[DecimalText],
        Meta(
            description="Closes of the hours in the window with trades, oldest first; the last hour is open."
        ),
    ]


class DayView(Struct, frozen=True):
    """How much of a symbol's day is proven to be complete."""

    day: Annotated[str, Meta(description="UTC.", examples=["2024-08-08"])]
    trade_count: int
    complete: Annotated[
        bool | None,
        Meta(description="Whether the whole day is proven; null if the venue has no trade ids."),
    ]
    minutes: Annotated[int, Meta(description="Minutes that have trades.")]
    incomplete: Annotated[
        int, Meta(description="Minutes that are not proven to be complete, or not yet closed.")
    ]
    late: Annotated[int, Meta(description="Trades that arrived after their minute had closed.")]


def overview_view(change: Change24h, missing: Missing, closes: Sequence[Decimal]) -> OverviewView:
    """Return the JSON view of a symbol in the overview."""
    return OverviewView(
        **asdict(change_view(change)),
        quote=quote_of(change.symbol.symbol),
        gaps=missing.gaps,
        missing_trades=missing.trades,
        closes=[decimal_json(close) for close in closes],
    )


def day_view(day: DayCompleteness) -> DayView:
    """Return the JSON view of a day."""
    return DayView(day.day.isoformat(), day.trade_count, day.complete, day.minutes, day.incomplete, day.late)
