"""Every venue that the sandbox speaks for; adding one is its package and a line here."""

from typing import Final

from sandbox.binance.venue import SandboxBinance
from sandbox.coinbase.venue import SandboxCoinbase
from sandbox.finnhub.venue import SandboxFinnhub
from sandbox.kraken.venue import SandboxKraken
from sandbox.venue import SandboxVenue

_ALL: Final[tuple[SandboxVenue, ...]] = (
    SandboxBinance(),
    SandboxCoinbase(),
    SandboxFinnhub(),
    SandboxKraken(),
)

VENUES: Final = {venue.name: venue for venue in _ALL}
"""By name; a frame is of the first that recognises it."""
