"""Reads and watches an API that needs a key, with ccxt and python-binance.

Usage: python with_key.py ADDRESS SYMBOL KEY.
"""

import asyncio
import json
import sys

import ccxt.pro
from binance import AsyncClient, BinanceSocketManager

address, symbol, key = sys.argv[1:]
sockets_address = address.replace("http", "ws", 1)
bearer = {"Authorization": f"Bearer {key}"}
api = {
    "public": f"{address}/api/v3",
    "fapiPublic": f"{address}/fapi/v1",
    "dapiPublic": f"{address}/dapi/v1",
    "ws": {"spot": f"{sockets_address}/ws"},
}


class PlantClient(AsyncClient):
    API_URL = f"{address}/api"


class PlantSockets(BinanceSocketManager):
    STREAM_URL = f"{sockets_address}/"


async def with_ccxt():
    exchange = ccxt.pro.binance(
        {"headers": bearer, "urls": {"api": api}, "options": {"ws": {"options": {"headers": bearer}}}}
    )
    try:
        await exchange.load_markets()
        return (await exchange.watch_ticker(symbol))["info"]
    finally:
        await exchange.close()


async def with_python_binance():
    client = await PlantClient.create(api_key=key)
    sockets = PlantSockets(client)
    sockets.ws_kwargs = {"additional_headers": bearer}
    async with sockets.symbol_miniticker_socket(symbol.replace("/", "")) as socket:
        message = await socket.recv()
    await client.close_connection()
    return message


async def main():
    print(json.dumps([await with_ccxt(), await with_python_binance()]))


asyncio.run(main())
