"""Typical trades of well-known assets; nothing here is a claim about real markets."""

from typing import Final

from sandbox.venue import TypicalTrade

COINS: Final[dict[str, TypicalTrade]] = {
    "BTC": TypicalTrade(60_000, 2, 5),
    "ETH": TypicalTrade(2_600, 2, 4),
    "PEPE": TypicalTrade(0.00001, 8, 0),
    "SOL": TypicalTrade(150, 2, 3),
    "BNB": TypicalTrade(550, 2, 3),
    "XRP": TypicalTrade(0.6, 4, 1),
    "DOGE": TypicalTrade(0.12, 5, 0),
    "ADA": TypicalTrade(0.4, 4, 1),
    "SHIB": TypicalTrade(0.000018, 8, 0),
    "LTC": TypicalTrade(70, 2, 3),
    "USDC": TypicalTrade(1, 4, 0),
}
STOCKS: Final[dict[str, TypicalTrade]] = {
    "AAPL": TypicalTrade(230, 2, 0),
    "IBM": TypicalTrade(210, 2, 0),
    "MSFT": TypicalTrade(430, 2, 0),
    "SPY": TypicalTrade(560, 2, 0),
}
"""Prices in dollars."""


def typical_trade(asset: str) -> TypicalTrade | None:
    """Return the typical trade of an asset; None if it is unknown."""
    return COINS.get(asset) or STOCKS.get(asset)
