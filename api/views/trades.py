"""JSON views of trades, the same over REST and websockets. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from api.views.fields import DecimalText, Time
from tickplant.market import Side, Trade
from tickplant.times import format_time


class TradeView(Struct, frozen=True):
    """A trade."""

    trade_id: Annotated[int, Meta(description="The venue's number; rises with time.", examples=[3735683259])]
    price: DecimalText
    size: DecimalText
    side: Annotated[Side | None, Meta(description="The aggressor's side; null if the venue reports none.")]
    event_time: Time
    """When it happened, by the venue's clock."""
    ingest_time: Time
    """When tickplant received it."""


def trade_view(trade: Trade) -> TradeView:
    """Return the JSON view of a trade."""
    return TradeView(
        trade.trade_id,
        trade.price,
        trade.size,
        trade.side,
        format_time(trade.event_time_us),
        format_time(trade.ingest_time_us),
    )
