"""Reads everything over REST with ccxt, of which only the addresses are changed.

Usage: python ccxt_rest.py ADDRESS SYMBOL, with an address such as http://127.0.0.1:8080/binance.
"""

import json
import sys

import ccxt

address, symbol = sys.argv[1:]
exchange = ccxt.binance(
    {
        "urls": {
            "api": {
                "public": f"{address}/api/v3",
                "fapiPublic": f"{address}/fapi/v1",
                "dapiPublic": f"{address}/dapi/v1",
            }
        }
    }
)
markets = exchange.load_markets()
market = markets[symbol]
trades = exchange.fetch_trades(symbol, limit=1000)
print(
    json.dumps(
        {
            "time": exchange.fetch_time(),
            "market": {
                "id": market["id"],
                "active": market["active"],
                "spot": market["spot"],
                "precision": market["precision"],
            },
            "candles": {
                interval: exchange.fetch_ohlcv(symbol, interval, limit=1000)
                for interval in exchange.timeframes
            },
            "rows": {
                interval: exchange.public_get_klines(
                    {"symbol": market["id"], "interval": interval, "limit": 1000}
                )
                for interval in exchange.timeframes
            },
            "from_start": exchange.fetch_ohlcv(symbol, "1m", since=0, limit=1),
            "ticker": exchange.fetch_ticker(symbol),
            "tickers": exchange.fetch_tickers(),
            "trades": [
                [trade["id"], trade["timestamp"], trade["side"], trade["info"]["p"]] for trade in trades
            ],
            "trades_since": [
                trade["id"] for trade in exchange.fetch_trades(symbol, since=trades[5]["timestamp"], limit=10)
            ],
        }
    )
)
