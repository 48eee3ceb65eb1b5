"""Flat rows of OpenBB's tables. Numbers are JSON numbers, which charts need, of all stored digits. Pure."""

from typing import TypeAlias, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import asdict

from api.views.alerts import AlertView
from api.views.candles import CandleView
from api.views.gaps import GapView
from api.views.overview import OverviewView

Number: TypeAlias = Raw | None
"""A decimal as a JSON number."""
RowT = TypeVar("RowT", bound=Struct)


class CandleTableRow(Struct, frozen=True):
    """A candle."""

    open_time: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    quote_volume: Number
    taker_buy_volume: Number
    vwap: Number
    trade_count: int
    closed: bool
    complete: bool | None
    revision: int


class MarketTableRow(Struct, frozen=True):
    """A symbol's last 24 hours."""

    symbol: str
    last: Number
    change: Number
    percent: Number
    high: Number
    low: Number
    volume: Number
    quote_volume: Number
    quote: str | None
    trade_count: int
    gaps: int
    missing_trades: int | None
    until: str


class GapTableRow(Struct, frozen=True):
    """A gap."""

    symbol: str
    first_id: int
    last_id: int
    missing: int
    state: str
    cause: str
    reason: str | None
    after_time: str
    detected_at: str


class AlertTableRow(Struct, frozen=True):
    """An alert, without the address of its webhook, which may contain a secret."""

    symbol: str
    kind: str
    price: Number
    percent: Number
    window_s: int | None
    silence_s: int | None
    repeat: bool
    state: str
    firings: int
    last_fired: str | None
    user: str
    note: str
    created_at: str


def row(view: CandleView | OverviewView | GapView | AlertView, kind: type[RowT]) -> RowT:
    """Return the row of a view."""
    members = asdict(view)
    numbers = {name for name, type_ in kind.__annotations__.items() if type_ == Number}
    return kind(
        **{
            name: Raw(members[name].encode())
            if name in numbers and members[name] is not None
            else members[name]
            for name in kind.__struct_fields__
        }
    )
