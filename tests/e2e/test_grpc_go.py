"""gRPC with programs in Go: grpcurl as docs/grpc.md shows it, and a client of generated code."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from api_plant import BTC, T0, candle, live, running_plant, trade, update
from conftest import on_one_variant
from cutting import cutting
from go_client import ROOT, go_programs
from grpc_plant import GrpcPlant, running_grpc, serving_grpc
from keyed import new_key

from api.open_services import AccessSettings
from tickplant.api.v1.market_data_pb2 import GetTradesRequest
from tickplant.intervals import MINUTE_US

pytestmark = [pytest.mark.slow, on_one_variant]


async def run(program: Path, *words: str) -> tuple[int, str]:
    """Run a program, and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def documented() -> list[list[str]]:
    """The commands of docs/grpc.md with grpcurl."""
    text = (ROOT / "docs" / "grpc.md").read_text(encoding="utf-8")
    commands = re.findall(r"^grpcurl ((?:[^\n]*\\\n)*[^\n]*)$", text, re.MULTILINE)
    return [
        [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command.replace("\\\n", ""))]
        for command in commands
    ]


async def test_grpcurl_needs_no_schema(redis_url: str, database_url: str) -> None:
    grpcurl = (await asyncio.to_thread(go_programs)) / "grpcurl"
    async with running_grpc(redis_url, database_url) as served:
        await served.plant.store(*[trade(number, at_us=T0 + number * 20_000_000) for number in range(7)])
        await served.plant.publish(update(trade(6, at_us=T0 + 120_000_000)))
        await served.plant.caught_up()
        answers: dict[str, str] = {}
        for words in documented():
            given = [served.address if word == "127.0.0.1:50051" else word for word in words]
            if words[-1].endswith("StreamCandles"):
                given = ["-max-time", "3", *given]
            code, answers[" ".join(words[-2:])] = await run(grpcurl, *given)
            assert code == 0 or words[-1].endswith("StreamCandles"), answers
        services = answers["127.0.0.1:50051 list"].split()
        assert "tickplant.api.v1.MarketData" in services
        assert "rpc StreamCandles" in answers["describe tickplant.api.v1.MarketData"]
        price = json.loads(answers["127.0.0.1:50051 tickplant.api.v1.MarketData/GetPrice"])
        assert price["trade"] == {
            "symbol": "binance:BTCUSDT",
            "trade_id": "6",
            "price": "61837.63000000",
            "size": "0.02000000",
            "side": "sell",
            "event_time_us": str(T0 + 120_000_000),
            "ingest_time_us": str(T0 + 120_000_000 + 1_342),
        }
        streamed = answers["127.0.0.1:50051 tickplant.api.v1.MarketData/StreamCandles"]
        assert '"closed": true' in streamed
        assert "DeadlineExceeded" in streamed
        alert = json.loads(answers["127.0.0.1:50051 tickplant.api.v1.Alerts/CreateAlert"])["alert"]
        assert alert["symbol"] == "binance:BTCUSDT"
        assert json.loads(answers["127.0.0.1:50051 grpc.health.v1.Health/Check"]) == {"status": "SERVING"}
        code, refused = await run(
            grpcurl,
            "-plaintext",
            "-d",
            '{"symbol": "NOSUCH"}',
            served.address,
            "tickplant.api.v1.MarketData/GetPrice",
        )
        assert code != 0
        assert "NotFound" in refused
        assert "UNKNOWN_SYMBOL" in refused, "grpcurl shows the details of google.rpc"


async def test_grpcurl_sends_a_key(redis_url: str, database_url: str) -> None:
    grpcurl = (await asyncio.to_thread(go_programs)) / "grpcurl"
    key = await new_key(database_url, "read")
    async with (
        running_plant(redis_url, database_url, access=AccessSettings(host="0.0.0.0")) as plant,
        serving_grpc(plant) as served,
    ):
        await live(plant)
        words = ["-plaintext", "-d", '{"symbol": "BTCUSDT"}', served.address]
        words += ["tickplant.api.v1.MarketData/GetTrades"]
        code, refused = await run(grpcurl, *words)
        assert code != 0
        assert "Unauthenticated" in refused
        code, _ = await run(grpcurl, "-H", f"authorization: Bearer {key.text}", *words)
        assert code == 0


async def test_a_client_in_go_follows_through_disconnects(redis_url: str, database_url: str) -> None:
    follow = (await asyncio.to_thread(go_programs)) / "follow"
    async with (
        running_grpc(redis_url, database_url) as served,
        cutting(f"http://{served.address}", cuts=10, most_bytes=2000) as proxy,
    ):
        await served.plant.store(trade(1))
        await served.plant.publish(update(trade(1)))
        await served.plant.caught_up()
        cursor = await cursor_of(served)
        last = T0 + 300 * MINUTE_US
        words = (proxy.address.removeprefix("http://"), str(BTC), cursor, str(last))
        following = asyncio.ensure_future(run(follow, *words))
        expected: list[Any] = []
        for number in range(301):
            made = candle(number, count=number % 5 + 1, closed=True)
            expected.append(f"{made.open_time_us} {made.volume:f}")
            await served.plant.publish(update(candles=[made], entry=f"{number + 2}-0"))
            await asyncio.sleep(0.01)
        code, printed = await following
        assert code == 0, printed
        assert list(dict.fromkeys(printed.splitlines())) == expected
        assert proxy.cuts >= 5


async def cursor_of(served: GrpcPlant) -> str:
    cursor: str = (await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))).cursor
    assert cursor
    return cursor
