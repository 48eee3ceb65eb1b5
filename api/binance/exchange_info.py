"""The symbols of a venue as Binance's `exchangeInfo` describes them. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from db.tickers import Divisions
from tickplant.assets import assets_of
from tickplant.market import SymbolId

_DOLLARS: Final = "USD"
"""The quote of a symbol that names none, such as a stock."""
_DEFAULT_PLACES: Final = 8
"""Of a symbol without trades: as Binance writes its numbers."""
_MOST: Final = "9000000000.00000000"
"""A bound that nothing reaches: what a venue allows is not known."""


def exchange_info(
    now_ms: int, symbols: Iterable[SymbolId], divisions: Iterable[Divisions] = ()
) -> dict[str, Any]:
    """Return the description of symbols."""
    known = {division.symbol: division for division in divisions}
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [
            _symbol(known.get(symbol, Divisions(symbol, _DEFAULT_PLACES, _DEFAULT_PLACES)))
            for symbol in symbols
        ],
    }


def _symbol(division: Divisions) -> dict[str, Any]:
    name = division.symbol.symbol
    base, quote = assets_of(name) or (name, _DOLLARS)
    tick, step = _unit(division.price_places), _unit(division.size_places)
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": max(8, division.size_places),
        "quoteAsset": quote,
        "quotePrecision": max(8, division.price_places),
        "quoteAssetPrecision": max(8, division.price_places),
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": _MOST, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": _MOST, "stepSize": step},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _unit(places: int) -> str:
    """Return the smallest step of numbers with some decimal places, written with at least eight."""
    return f"{Decimal(1).scaleb(-places):.{max(8, places)}f}"
