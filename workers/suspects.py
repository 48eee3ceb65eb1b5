"""Chains of suspects: trades held until enough others continue from them. Pure."""

from typing import Final

from msgspec import Struct

from tickplant.market import Trade
from workers.plausibility import SymbolProgress, max_jump
from workers.rejections import RejectionKind

CONFIRMATIONS: Final = 5
"""Length of a chain at which its trades are admitted."""
_JUMP_CONFIRMATIONS: Final = 2
"""The same, where their ids jump by no more than the venue can have traded in the time."""
_REUSED_ID_CONFIRMATIONS: Final = 100
"""The same, where their ids are stored already and are not those of a venue that restarts its numbering."""


class SuspectChain(Struct, array_like=True):
    """Trades that are not admitted yet, each continuing from the one before."""

    trades: list[Trade]
    kind: RejectionKind
    reason: str
    """Of the first one."""
    confirmations: int = CONFIRMATIONS
    """Length at which all are admitted."""
    trades_without: int = 0
    """Trades admitted since the chain grew."""

    @property
    def reuses_ids(self) -> bool:
        """Whether other trades are stored under the ids."""
        return self.confirmations == _REUSED_ID_CONFIRMATIONS


def confirmations_for(trade: Trade, kind: RejectionKind, progress: SymbolProgress, offset: int) -> int:
    """Return the length at which a chain is admitted.

    Args:
        trade: the first one.
        kind: of what is implausible about it.
        progress: of its symbol.
        offset: what is added to the venue's ids.
    """
    ledger = progress.ledger
    if kind == "contradiction":
        restarted = trade.trade_id - offset <= 1 or trade.trade_id < ledger.first
        reused = not restarted and trade.trade_id not in ledger.missing
        return _REUSED_ID_CONFIRMATIONS if reused else CONFIRMATIONS
    elapsed_us = trade.event_time_us - progress.last_us
    if kind == "id" and trade.trade_id - progress.last <= max_jump(elapsed_us):
        return _JUMP_CONFIRMATIONS
    return CONFIRMATIONS
