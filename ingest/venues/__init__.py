"""Venues: pure adapters from a venue's messages to trades and notices.

The module `<venue>` parses the websocket, `<venue>_rest` the REST interface where there is one. They are
imported on first use. See ADDING_A_VENUE.md.
"""

from importlib import import_module
from typing import Any, Final, cast

from ingest.venues.base import VenueAdapter, VenueLimits
from tickplant.errors import UsageError

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
        limits: replace the venue's documented ones.

    Raises:
        UsageError: the venue is unknown.
        SettingsError: it needs a key.
    """
    if name not in _ADAPTERS:
        raise UsageError(f"unknown venue {name!r}; venues are {', '.join(VENUES)}")
    adapter = getattr(import_module(f"{__name__}.{name}"), _ADAPTERS[name])
    options: dict[str, Any] = {"api_key": api_key, "limits": limits}
    given = {option: value for option, value in options.items() if value is not None}
    return cast(VenueAdapter, adapter(**given))
