"""JSON views of alerts and firings, the same over REST and websockets. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from api.views.trades import DecimalText, SymbolName, Time
from tickplant.derived import AlertKind, Firing
from tickplant.market import SymbolId
from tickplant.times import format_time


class FiringView(Struct, frozen=True):
    """An alert that fired. Alert and number identify it."""

    alert_id: str
    number: Annotated[int, Meta(description="Counts the alert's firings from 1.")]
    user: str
    symbol: SymbolName
    kind: AlertKind
    event_time: Time
    """When the condition was met, by the venue's clock."""
    trade_id: Annotated[
        int | None, Meta(description="The trade that met the condition; null for silence and gaps.")
    ]
    price: Annotated[DecimalText | None, Meta(description="Of that trade.")]
    value: Annotated[str | None, Meta(description="A price, percent, seconds, or the first id of a gap.")]
    threshold: Annotated[str | None, Meta(description="The value that it was compared with.")]
    note: Annotated[str, Meta(description="The user's own words.")]


def firing_view(firing: Firing) -> FiringView:
    """Return a firing as it stands in JSON."""
    return FiringView(
        firing.alert_id,
        firing.number,
        firing.user,
        str(SymbolId(firing.venue, firing.symbol)),
        firing.kind,
        format_time(firing.event_time_us),
        firing.trade_id,
        firing.price,
        firing.value,
        firing.threshold,
        firing.note,
    )
