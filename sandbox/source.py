"""What a venue's trades come from: a tape that is played, or a market that is generated as time passes."""

from typing import Literal, Protocol

from msgspec import Struct

from sandbox.audience import SandboxAudience
from sandbox.venue import SandboxMarket, SandboxVenue

State = Literal["waiting", "playing", "finished"]
Provenance = Literal["replay", "synthetic"]
"""Recorded, or generated; the value of the header `tickplant.provenance.HEADER`."""


class SymbolStatus(Struct, frozen=True):
    """How far a symbol has come."""

    trades: int
    """On the tape, or sent so far where there is no end."""
    last_trade_id: int | None
    """The highest of those trades' ids; None where the venue doesn't number them."""
    sent: int


class SourceStatus(Struct, frozen=True):
    """How far the venue has come."""

    state: State
    sent: int
    total: int | None
    """Trades on the tape; None where there is no end."""
    symbols: dict[str, SymbolStatus]


class SymbolTape(Struct, frozen=True):
    """What a tape holds of one symbol, from its first trade to its last."""

    trades: int
    """Trades of venues without ids; distinct ids of all others."""
    ids: list[tuple[int, int]] | None
    """The ranges of those ids, inclusive and ascending; None where the venue has no trade ids."""
    first_time_us: int
    last_time_us: int
    """The venue's times between which they happened, inclusive."""


class TradeSource(SandboxMarket, Protocol):
    """Trades of one venue, as they are sent and as they have been."""

    @property
    def venue(self) -> SandboxVenue:
        """Whose trades they are."""

    @property
    def provenance(self) -> Provenance:
        """Where they come from."""

    def now_us(self) -> int:
        """Return the venue's time."""

    def status(self) -> SourceStatus:
        """Return how far it has come."""

    def tape(self) -> dict[str, SymbolTape]:
        """Return what it will have sent of each symbol at its end; nothing where it has no end."""

    async def run(self, audience: SandboxAudience) -> None:
        """Send everything; return at the end, if there is one."""
