"""Reads and watches with python-binance, of which only the addresses are changed.

Usage: python python_binance.py ADDRESS SYMBOL START, with a start such as `2023-11-14`. Ends after 40 trades
and a closed candle.
"""

import asyncio
import json
import sys

from binance import AsyncClient, BinanceSocketManager, Client

address, symbol, start = sys.argv[1:]


class PlantClient(Client):
    API_URL = f"{address}/api"


class AsyncPlantClient(AsyncClient):
    API_URL = f"{address}/api"


class PlantSockets(BinanceSocketManager):
    STREAM_URL = address.replace("http", "ws", 1) + "/"


def read():
    client = PlantClient()
    trades = client.get_recent_trades(symbol=symbol)
    return {
        "info": client.get_symbol_info(symbol),
        "candles": {
            interval: client.get_historical_klines(symbol, interval, start)
            for interval in ("1m", "3m", "1h", "1M")
        },
        "trades": trades,
        "historical": client.get_historical_trades(symbol=symbol, fromId=trades[3]["id"], limit=2),
        "aggregate": [row["a"] for row in client.aggregate_trade_iter(symbol=symbol, start_str=start)],
        "average": client.get_avg_price(symbol=symbol),
        "ticker": client.get_ticker(symbol=symbol),
        "prices": client.get_all_tickers(),
    }


async def watch():
    client = await AsyncPlantClient.create()
    sockets = PlantSockets(client)
    trades, closed, tickers = [], [], []
    async with (
        sockets.trade_socket(symbol) as trade_socket,
        sockets.multiplex_socket([f"{symbol.lower()}@kline_1m"]) as kline_socket,
        sockets.symbol_miniticker_socket(symbol) as ticker_socket,
    ):
        tickers.append(await ticker_socket.recv())
        while not closed:
            message = await kline_socket.recv()
            closed += [message["data"]["k"]] if message["data"]["k"]["x"] else []
        while len(trades) < 40:
            trades.append(await trade_socket.recv())
    await client.close_connection()
    return {"closed": closed, "trades": trades, "tickers": tickers}


print(json.dumps({"read": read(), "watched": asyncio.run(watch())}))
