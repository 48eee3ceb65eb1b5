"""What is usual for the assets that people know; nothing here is a claim about real markets."""

from typing import Final

from sandbox.venue import Usual

COINS: Final[dict[str, Usual]] = {
    "BTC": Usual(60_000, 2, 5),
    "ETH": Usual(2_600, 2, 4),
    "PEPE": Usual(0.00001, 8, 0),
    "SOL": Usual(150, 2, 3),
    "BNB": Usual(550, 2, 3),
    "XRP": Usual(0.6, 4, 1),
    "DOGE": Usual(0.12, 5, 0),
    "ADA": Usual(0.4, 4, 1),
    "SHIB": Usual(0.000018, 8, 0),
    "LTC": Usual(70, 2, 3),
    "USDC": Usual(1, 4, 0),
}
STOCKS: Final[dict[str, Usual]] = {
    "AAPL": Usual(230, 2, 0),
    "IBM": Usual(210, 2, 0),
    "MSFT": Usual(430, 2, 0),
    "SPY": Usual(560, 2, 0),
}
"""Prices in dollars."""


def usual_of(asset: str) -> Usual | None:
    """Say what an asset's trades are usually like; None if nobody knows."""
    return COINS.get(asset) or STOCKS.get(asset)
