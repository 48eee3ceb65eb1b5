"""Every venue that the sandbox speaks for; adding one is its package and a line here."""

from typing import Final

from sandbox.binance.venue import Binance
from sandbox.coinbase.venue import Coinbase
from sandbox.finnhub.venue import Finnhub
from sandbox.kraken.venue import Kraken
from sandbox.venue import Venue

_ALL: Final[tuple[Venue, ...]] = (
    Binance(),
    Coinbase(),
    Finnhub(),
    Kraken(),
)

VENUES: Final = {venue.name: venue for venue in _ALL}
"""By name; a frame is of the first that recognises it."""
