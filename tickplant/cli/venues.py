"""Venues' addresses from the settings."""

from ingest.service import VenueAddress
from tickplant.settings import Settings


def venue_addresses(settings: Settings) -> dict[str, VenueAddress]:
    """Return the address of each venue, with the key to it."""
    return {
        "binance": VenueAddress(settings.binance_ws_url, settings.binance_rest_url),
        "coinbase": VenueAddress(settings.coinbase_ws_url, settings.coinbase_rest_url),
        "finnhub": VenueAddress(settings.finnhub_ws_url, api_key=settings.finnhub_api_key),
        "kraken": VenueAddress(settings.kraken_ws_url, settings.kraken_rest_url),
    }
