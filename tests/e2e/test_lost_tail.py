"""Redis comes back without its newest data while an API process is paused: its clients are told."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
from api_plant import Socket
from conftest import PARTITIONS, OwnRedis, on_one_variant
from processes import Processes
from websockets.asyncio.client import connect
from working import START_US, publishing, stored_count, trade, until, working

from tickplant.local.folder import free_port
from tickplant.market import Trade
from tickplant.redis_client import open_redis

CHANNEL = "trades:binance:AAAUSDT"


def traded(first: int, last: int) -> list[Trade]:
    return [trade(number, at_us=START_US + number * 1000) for number in range(first, last + 1)]


async def trades_until(socket: Socket, last: int) -> tuple[set[int], bool]:
    """Return the ids that are received up to one, and whether a snapshot says that something was lost."""
    received: set[int] = set()
    told = False
    while last not in received:
        message: dict[str, Any] = json.loads(await socket.connection.recv())
        if message.get("channel") == CHANNEL and isinstance(message.get("data"), list):
            received |= {view["trade_id"] for view in message["data"]}
            told |= message.get("recovered") is False
    return received, told


@on_one_variant
async def test_trades_that_were_committed_and_lost_by_redis_are_no_secret(
    own_redis: OwnRedis, database_url: str, tmp_path: Path
) -> None:
    redis = await own_redis()
    port = free_port()
    environment = {
        "TICKPLANT_REDIS_URL": redis.url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_API_PORT": str(port),
    }
    async with Processes(environment, tmp_path) as processes, httpx.AsyncClient() as http:
        api = await processes.start("api")

        async def ready() -> bool:
            try:
                return (await http.get(f"http://127.0.0.1:{port}/health/ready")).is_success
            except httpx.TransportError:
                return False

        async def stored(count: int) -> bool:
            return await stored_count(database_url) == count

        await until(ready, "the API is ready")
        saved = tmp_path / "saved"
        async with connect(f"ws://127.0.0.1:{port}/ws", max_size=None) as connection:
            socket = Socket(connection)
            async with working(redis.url, database_url), publishing(redis.url) as publisher:
                await publisher.publish(traded(1, 10))
                await until(lambda: stored(10), "the first trades are stored")
                await socket.subscribe(CHANNEL)
                assert (await trades_until(socket, 10))[0] == {*range(1, 11)}
            await redis.stop()  # its data are a former state from now on
            data = next(path.parent for path in redis.folder.path.rglob("appendonlydir*"))
            shutil.copytree(data, saved)
            await redis.start()
            await until(ready, "the API is ready again")
            api.send_signal(signal.SIGSTOP)
            client = open_redis(redis.url)
            await client.client_kill_filter(_type="normal", skipme=True)  # nothing more is under way to it
            await client.aclose()
            async with working(redis.url, database_url), publishing(redis.url) as publisher:
                await publisher.publish(traded(11, 20))
                await until(lambda: stored(20), "the trades are stored")
            await redis.stop()
            shutil.rmtree(data)
            shutil.copytree(saved, data, copy_function=shutil.copy2)
            await redis.start()
            async with working(redis.url, database_url), publishing(redis.url) as publisher:
                await publisher.publish(traded(21, 25))
                await until(lambda: stored(25), "the last trades are stored")
                api.send_signal(signal.SIGCONT)
                received, told = await trades_until(socket, 25)
        assert told or received >= {*range(11, 26)}
