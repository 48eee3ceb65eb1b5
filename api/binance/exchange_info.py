"""The symbols of a venue as Binance's `exchangeInfo` describes them. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from db.tickers import Divisions
from tickplant.market import SymbolId

_QUOTES: Final = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USD1", "PYUSD", "RLUSD", "BFUSD", "DAI", "XUSD"),
    *(
        "EURI",
        "AEUR",
        "USD",
        "EUR",
        "GBP",
        "TRY",
        "BRL",
        "JPY",
        "AUD",
        "RUB",
        "UAH",
        "NGN",
        "ZAR",
        "PLN",
        "RON",
    ),
    *("ARS", "MXN", "COP", "CZK", "IDR", "IDRT", "BIDR", "BVND", "VAI", "BKRW", "USDS", "PAX", "UST"),
    *("BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "DOT", "CHF"),
)
"""Currencies in which symbols are priced that are written without a separator."""
_LONGEST_FIRST: Final = sorted(_QUOTES, key=len, reverse=True)

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


def assets(symbol: str) -> tuple[str, str]:
    """Return base and quote of a symbol as a venue writes it; dollars as the quote of one that names none."""
    for separator in ("/", "-", "_", ":"):
        base, found, quote = symbol.rpartition(separator)
        if found and base and quote:
            return base, quote
    for quote in _LONGEST_FIRST:
        if symbol.upper().endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], symbol[-len(quote) :]
    return symbol, "USD"


def _symbol(division: Divisions) -> dict[str, Any]:
    base, quote = assets(division.symbol.symbol)
    tick, step = _unit(division.price_places), _unit(division.size_places)
    return {
        "symbol": division.symbol.symbol,
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
