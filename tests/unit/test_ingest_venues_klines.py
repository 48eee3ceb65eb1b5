"""Each venue's own candles of a minute: what is asked for, and the documentation's samples read exactly."""

from decimal import Decimal
from typing import Final

import pytest

from ingest.venues import make_adapter
from ingest.venues.base_rest import BusyError, KlineAdapter
from tickplant.errors import PoisonError
from tickplant.intervals import MINUTE_US

START_US: Final = 1_723_161_300_000_000  # 2024-08-08 23:55

ASKED: Final = {
    "binance": ("BTCUSDT", "/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1723161300000&limit=3"),
    "coinbase": (
        "BTC-USD",
        "/products/BTC-USD/candles?granularity=60&start=2024-08-08T23:55:00Z&end=2024-08-08T23:57:00Z",
    ),
    "kraken": ("BTC/USD", "/0/public/OHLC?pair=XBTUSD&interval=1&since=1723161240"),
}

GIVEN: Final = {
    "binance": (
        b'[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,'
        b'"2434.19055334",308,"1756.87402397","28.46694368","0"]]',
        (1_499_040_000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815", 308),
    ),
    "coinbase": (
        b"[[1415398768,0.32,4.2,0.35,4.2,12.3]]",
        (1_415_398_768, "0.35", "4.2", "0.32", "4.2", "12.3", None),
    ),
    "kraken": (
        b'{"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1",'
        b'"3.39243896",23]],"last":1688672160}}',
        (1_688_671_200, "30306.1", "30306.2", "30305.7", "30305.7", "3.39243896", 23),
    ),
}


def make(name: str) -> KlineAdapter:
    venue = make_adapter(name)
    assert isinstance(venue, KlineAdapter)
    return venue


@pytest.mark.parametrize("name", ASKED)
def test_three_minutes_are_asked_for(name: str) -> None:
    symbol, path = ASKED[name]
    assert make(name).klines_path(symbol, START_US, START_US + 3 * MINUTE_US) == path


@pytest.mark.parametrize("name", GIVEN)
def test_a_documented_candle_is_read(name: str) -> None:
    body, (second, *numbers, count) = GIVEN[name]
    (kline,) = make(name).parse_klines(body)
    assert kline.open_time_us == second * 1_000_000
    assert [kline.open, kline.high, kline.low, kline.close, kline.volume] == [Decimal(n) for n in numbers]
    assert kline.trade_count == count


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[[1]]", b'[[true,"1"]]', b'{"error":["EQuery:Unknown"]}', b"[" * 9999]
)
def test_what_is_no_candle_is_refused(name: str, body: bytes) -> None:
    with pytest.raises(PoisonError):
        make(name).parse_klines(body)


def test_a_venue_that_asks_to_wait_is_recognised() -> None:
    with pytest.raises(BusyError):
        make("kraken").parse_klines(b'{"error":["EAPI:Rate limit exceeded"]}')


def test_a_venue_that_numbers_nothing_gives_none() -> None:
    assert not isinstance(make_adapter("finnhub", api_key="k"), KlineAdapter)
