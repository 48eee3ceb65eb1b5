"""What the API sends: messages, candles and trades, with exact decimals. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct, field


class Candle(Struct, frozen=True):
    """A candle; its fields are those of the API."""

    open_time: datetime
    """Inclusive."""
    close_time: datetime
    """Exclusive."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_buy_volume: Decimal | None
    taker_buy_quote_volume: Decimal | None
    vwap: Decimal | None
    trade_count: int
    first_trade_id: int | None
    last_trade_id: int | None
    closed: bool
    complete: bool | None
    """Whether trade ids prove that no trade is missing; None if it has closed but the venue has no ids."""
    revision: int
    """How many of its trades arrived after it had closed."""


class Trade(Struct, frozen=True):
    """A trade; its fields are those of the API."""

    trade_id: int
    price: Decimal
    size: Decimal
    side: Literal["buy", "sell"] | None
    """The aggressor's."""
    event_time: datetime
    """When it happened, by the venue's clock."""
    ingest_time: datetime
    """When tickplant received it."""


class Message(Struct, frozen=True):
    """A message of a channel, or a `status`; see docs/websocket.md."""

    type: str
    channel: str = ""
    cursor: str | None = None
    recovered: bool | None = None
    """False in a snapshot before which changes were lost."""
    state: str | None = None
    """Of a `status`."""
    content: Raw = field(name="data", default=Raw(b"null"))
    """The data as JSON."""

    @property
    def data(self) -> Any:
        """The data as dictionaries, lists and texts."""
        return msgspec.json.decode(self.content)


class Control(Struct, frozen=True):
    """The fields of `ack` and `error`."""

    code: str = ""
    message: str = ""
    channels: list[str] = []
    near: list[str] = []
