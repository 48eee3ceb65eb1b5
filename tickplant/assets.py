"""The assets in a symbol's name: what is traded, and what it is priced in. Pure."""

from typing import Final, NamedTuple

_SEPARATORS: Final = "/-_"

_QUOTES: Final = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USD1", "PYUSD", "RLUSD", "BFUSD", "DAI", "XUSD"),
    *("EURI", "AEUR", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN"),
    *("RON", "ARS", "MXN", "COP", "CZK", "IDR", "IDRT", "BIDR", "BVND", "VAI", "BKRW", "USDS", "PAX", "UST"),
    *("BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "DOT", "CHF"),
)
"""Quote assets that venues such as Binance append to the base asset without a separator."""
_LONGEST_FIRST: Final = sorted(_QUOTES, key=len, reverse=True)


class Assets(NamedTuple):
    """The two assets of a pair."""

    base: str
    """What is traded."""
    quote: str
    """What prices are in."""


def assets_of(symbol: str) -> Assets | None:
    """Return the assets of a symbol such as BTCUSDT, BTC-USD or BTC/USD; None if its name does not tell."""
    for separator in _SEPARATORS:
        base, found, quote = symbol.rpartition(separator)
        if found:
            return Assets(base, quote) if base and quote else None
    for quote in _LONGEST_FIRST:
        if symbol.upper().endswith(quote) and len(symbol) > len(quote):
            return Assets(symbol[: -len(quote)], symbol[-len(quote) :])
    return None


def quote_of(symbol: str) -> str | None:
    """Return what prices of a symbol are in; None if its name does not tell."""
    assets = assets_of(symbol)
    return assets and assets.quote
