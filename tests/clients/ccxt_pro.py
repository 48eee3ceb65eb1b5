"""Watches tickers, candles and trades with ccxt pro, of which only the addresses are changed.

Usage: python ccxt_pro.py ADDRESS SYMBOL. Ends after 40 trades, and a candle of each interval that a later one
follows.
"""

import asyncio
import json
import sys

import ccxt.pro

address, symbol = sys.argv[1:]
api = {
    "public": f"{address}/api/v3",
    "fapiPublic": f"{address}/fapi/v1",
    "dapiPublic": f"{address}/dapi/v1",
    "ws": {"spot": address.replace("http", "ws", 1) + "/ws"},
}


async def watch_trades(exchange):
    seen = []
    while len(seen) < 40:
        seen += [trade["info"] for trade in await exchange.watch_trades(symbol)]
    return seen


async def watch_candles(exchange, interval):
    """Return the candles that a later one followed."""
    seen = {}
    while len(seen) < 2:
        seen |= {candle[0]: candle for candle in await exchange.watch_ohlcv(symbol, interval)}
    return [seen[opened] for opened in sorted(seen)[:-1]]


async def main():
    exchange = ccxt.pro.binance({"newUpdates": True, "urls": {"api": api}})
    try:
        await exchange.load_markets()
        mini, ticker, trades, minutes, longer = await asyncio.gather(
            exchange.watch_ticker(symbol),
            exchange.watch_ticker(symbol, {"name": "ticker"}),
            watch_trades(exchange),
            watch_candles(exchange, "1m"),
            watch_candles(exchange, "3m"),
        )
        tickers = [mini["info"], ticker["info"]]
        print(json.dumps({"tickers": tickers, "trades": trades, "1m": minutes, "3m": longer}))
    finally:
        await exchange.close()


asyncio.run(main())
