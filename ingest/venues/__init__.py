"""Venues: pure adapters from a venue's messages to trades and notices, one module each.

See ADDING_A_VENUE.md. A venue's module is imported on first use.
"""

from importlib import import_module
from typing import Any, Final, cast

from ingest.venues.base import VenueAdapter, VenueLimits
from tickplant.errors import FatalError

_ADAPTERS: Final = {
    "binance": "BinanceAdapter",
    "coinbase": "CoinbaseAdapter",
    "finnhub": "FinnhubAdapter",
    "kraken": "KrakenAdapter",
}
"""The class of each adapter; its module bears the venue's name."""

VENUES: Final = tuple(_ADAPTERS)
"""The names of all venues, as in `venue:symbol`."""


def make_adapter(name: str, *, api_key: str | None = None, limits: VenueLimits | None = None) -> VenueAdapter:
    """Make the adapter of a venue.

    Args:
        name: one of `VENUES`.
        api_key: for a venue that needs one.
        limits: to be kept instead of what the venue documents.

    Raises:
        FatalError: there is no such venue, or it needs a key.
    """
    if name not in _ADAPTERS:
        raise FatalError(f"there is no venue {name!r}; those that exist are {', '.join(VENUES)}")
    adapter = getattr(import_module(f"{__name__}.{name}"), _ADAPTERS[name])
    options: dict[str, Any] = {"api_key": api_key, "limits": limits}
    return cast(
        VenueAdapter, adapter(**{name: given for name, given in options.items() if given is not None})
    )
