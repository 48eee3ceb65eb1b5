"""The repository's capture, replayed as the README writes it, gives exactly the candles of its trades."""

import gzip
from pathlib import Path

import stored
from conftest import REPOSITORY, on_one_variant
from offline import binance_trades, candles
from processes import Processes

CAPTURE = REPOSITORY / "docs" / "captures" / "binance-synthetic.ndjson.gz"


@on_one_variant
async def test_its_trades_and_candles_are_stored_exactly(
    tmp_path: Path, redis_url: str, database_url: str
) -> None:
    async with Processes({"TICKPLANT_API_PORT": "0"}, tmp_path) as processes:
        code, output = await processes.run(
            *("up", "--replay", str(CAPTURE), "--once"),
            *("--into", redis_url, database_url),
        )
        assert code == 0, output + processes.logs()
    with gzip.open(CAPTURE) as lines:
        trades = binance_trades(line.split(b" ", 1)[1] for line in lines)
    assert all(trade["T"] % 1_000 == 0 for trade in trades)
    trades = [trade | {"T": trade["T"] // 1_000} for trade in trades]  # its times are in microseconds
    assert len(trades) == 3_000
    assert await stored.read_candles(database_url) == candles(trades)
    assert [row[:2] for row in await stored.read_trades(database_url)] == sorted(
        (trade["s"], trade["t"]) for trade in trades
    )
    for symbol in ("BTCUSDT", "ETHUSDT"):
        flags = await stored.read_flags(database_url, symbol)
        assert [flag[1:] for flag in flags[1:-1]] == [(True, True, 0)] * (len(flags) - 2)
        assert flags[0][1:] == (True, False, 0)  # the trades before it are unknown
