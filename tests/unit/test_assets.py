"""The assets in a symbol's name."""

import pytest

from tickplant.assets import Assets, assets_of, quote_of


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("USDTTRY", ("USDT", "TRY")),
        ("1000SATSFDUSD", ("1000SATS", "FDUSD")),
        ("BTC-USD", ("BTC", "USD")),
        ("XBT/EUR", ("XBT", "EUR")),
        ("OANDA:EUR_USD", ("OANDA:EUR", "USD")),
        ("BINANCE:BTCUSDT", ("BINANCE:BTC", "USDT")),
        ("AAPL", None),
        ("USDT", None),
        ("BTC/", None),
        ("", None),
    ],
)
def test_assets_are_found_in_names(symbol: str, assets: tuple[str, str] | None) -> None:
    assert assets_of(symbol) == (assets and Assets(*assets))
    assert quote_of(symbol) == (assets and assets[1])
