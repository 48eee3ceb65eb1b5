"""Where the settings say that venues are."""

from ingest.service import Address
from tickplant.settings import Settings


def venue_addresses(settings: Settings) -> dict[str, Address]:
    """Return the address of each venue, with the key to it."""
    return {
        "binance": Address(settings.binance_ws_url, settings.binance_rest_url),
        "coinbase": Address(settings.coinbase_ws_url, settings.coinbase_rest_url),
        "finnhub": Address(settings.finnhub_ws_url, api_key=settings.finnhub_api_key),
        "kraken": Address(settings.kraken_ws_url, settings.kraken_rest_url),
    }
