"""The sandbox venue over real sockets."""

import asyncio
import csv
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.binance.session import Style
from sandbox.binance.venue import SandboxBinance
from sandbox.captures import read_captured_trades, read_frames
from sandbox.frames import View
from sandbox.generator import generate, name_symbols
from sandbox.live import LiveSource
from sandbox.player import TapePlayer
from sandbox.server import RunningSandbox, SandboxOptions, serve
from sandbox.tape import Rendering, Tape, record
from tickplant.clock import now_us
from tickplant.market import SymbolId

DEADLINE_S: Final = 20
PATIENT: Final = SandboxOptions(ping_timeout_s=None)

Get = Callable[[str], Awaitable[Any]]


def made(count: int = 5_000, symbols: int = 3, rate: float = 1000) -> Tape:
    return generate(name_symbols(symbols), count, rate=rate, seed=11)


def address(running: RunningSandbox, *names: str, micro: bool = True) -> str:
    streams = "/".join(f"{name.lower()}@trade" for name in names)
    return f"{running.ws_url}/stream?streams={streams}" + ("&timeUnit=MICROSECOND" if micro else "")


def players(paths: list[Path], *, speed: float | None, hold: bool = False) -> list[TapePlayer]:
    return [TapePlayer(tape, speed=speed, hold=hold) for tape in record(read_frames(paths))]


def limited(**limits: Any) -> SandboxOptions:
    return SandboxOptions(limits={"binance": replace(SandboxBinance.limits, **limits)})


def listen(url: str) -> connect:
    return connect(url, compression=None, ping_interval=None, close_timeout=1)


async def take(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [message["data"] for message in await receive(client, count)]


async def receive(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return so many messages, each of which comes soon; all of them may take long."""
    messages: list[dict[str, Any]] = []
    while len(messages) < count:
        async with asyncio.timeout(DEADLINE_S):
            messages.append(json.loads(await client.recv()))
    return messages


async def quiet(client: ClientConnection) -> bool:
    """Say whether nothing lies waiting once the venue has answered a later request."""
    await client.send('{"method":"LIST_SUBSCRIPTIONS","id":99}')
    async with asyncio.timeout(DEADLINE_S):
        return "id" in json.loads(await client.recv())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  nothing notifies of it
            await asyncio.sleep(0.005)


def read(url: str, headers: dict[str, str] | None = None) -> Any:
    with urlopen(Request(url, headers=headers or {}), timeout=DEADLINE_S) as answer:
        return json.load(answer)


async def get(running: RunningSandbox, path: str) -> Any:
    return await asyncio.to_thread(read, running.rest_url + path)


async def test_all_recorded_frames_arrive_through_one_socket(marketdata: Path) -> None:
    folder = marketdata / "binance-spot"
    expected = list(read_captured_trades([folder]))
    async with (
        serve(players([folder], speed=None, hold=True), options=PATIENT) as running,
        listen(address(running, "BTCUSDT", "ETHUSDT", micro=False)) as client,
    ):
        events = await take(client, len(expected))
        assert Counter(event["s"] for event in events) == {"BTCUSDT": 19_904, "ETHUSDT": 14_515}
        received = [(each["s"], each["t"], each["p"], each["q"], each["T"] * 1000) for each in events]
        assert received == [
            (each.symbol, each.trade_id, each.price, each.size, each.event_time_us) for each in expected
        ]
        assert await quiet(client)
        status = await get(running, "/sandbox/status")
        assert (status["state"], status["sent"], status["total"]) == ("finished", 34_419, 34_419)
        assert status["symbols"] == {
            "binance:BTCUSDT": {"trades": 19_904, "last_trade_id": 3_735_703_162, "sent": 19_904},
            "binance:ETHUSDT": {"trades": 14_515, "last_trade_id": 1_520_553_439, "sent": 14_515},
        }
        with (folder / "btcusdt-1m-klines.csv").open(newline="") as file:
            klines = list(csv.DictReader(file))
        first, last = klines[0]["open_time_ms"], klines[-1]["open_time_ms"]
        path = f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={first}&endTime={last}"
        rows = await get(running, path)
        assert len(rows) == len(klines) == 10
        for row, kline in zip(rows, klines, strict=True):
            assert row[0] == int(kline["open_time_ms"])
            names = ("open", "high", "low", "close", "volume")
            assert row[1:6] == [f"{Decimal(kline[name]):.8f}" for name in names]


async def test_streams_are_subscribed_listed_and_unsubscribed() -> None:
    async with (
        serve([TapePlayer(made(), speed=None)], options=PATIENT) as running,
        listen(f"{running.ws_url}/ws") as client,
    ):
        assert await quiet(client)
        await client.send('{"method":"SUBSCRIBE","params":["ethusdt@trade","nosuch@trade"],"id":1}')
        assert json.loads(await client.recv()) == {"result": None, "id": 1}
        assert json.loads(await client.recv())["s"] == "ETHUSDT"
        await client.send('{"method":"UNSUBSCRIBE","params":["ethusdt@trade"],"id":2}')
        await client.send('{"method":"LIST_SUBSCRIPTIONS","id":3}')
        answers = [message async for message in _answers(client, 2)]
        assert answers == [{"result": None, "id": 2}, {"result": ["nosuch@trade"], "id": 3}]
        await client.send("nonsense")
        assert (await anext(_answers(client, 1)))["error"]["code"] == 3


async def _answers(client: ClientConnection, count: int) -> AsyncIterator[dict[str, Any]]:
    while count:
        async with asyncio.timeout(DEADLINE_S):
            message = json.loads(await client.recv())
        if "id" in message:
            count -= 1
            yield message


async def test_nothing_plays_before_somebody_listens_at_full_speed() -> None:
    async with (
        serve([TapePlayer(made(), speed=None)], options=PATIENT) as running,
        listen(f"{running.ws_url}/ws/nosuch@trade") as client,
    ):
        assert await quiet(client)
        assert running.status().state == "waiting"


async def test_a_held_tape_waits_for_every_symbol() -> None:
    tape = made()
    async with (
        serve([TapePlayer(tape, speed=None, hold=True)], options=PATIENT) as running,
        listen(address(running, "BTCUSDT", "PEPEUSDT")) as client,
        listen(address(running)) as other,
    ):
        assert await quiet(client)
        assert await quiet(other)
        assert running.status().state == "waiting"
        await other.send('{"method":"SUBSCRIBE","params":["ethusdt@trade"],"id":1}')
        assert "id" in json.loads(await other.recv())
        counts = {str(symbol): len(history) for symbol, history in tape.columns.items()}
        mine = await take(client, counts["binance:BTCUSDT"] + counts["binance:PEPEUSDT"])
        theirs = await take(other, counts["binance:ETHUSDT"])
        assert {event["s"] for event in mine} == {"BTCUSDT", "PEPEUSDT"}
        assert {event["s"] for event in theirs} == {"ETHUSDT"}
        await until(lambda: running.status().state == "finished")


async def test_clients_get_their_own_streams_forms_and_units() -> None:
    tape = made()
    async with (
        serve([TapePlayer(tape, speed=None, hold=True)], options=PATIENT) as running,
        listen(address(running, "ETHUSDT", micro=False)) as one,
        listen(f"{running.ws_url}/ws/ethusdt@trade/btcusdt@trade") as raw,
        listen(address(running, "BTCUSDT", "ETHUSDT", "PEPEUSDT")) as everything,
    ):
        events = await take(everything, len(tape))
        coarse = [{**each, "E": each["E"] // 1000, "T": each["T"] // 1000} for each in events]
        ethers = [each for each in coarse if each["s"] == "ETHUSDT"]
        assert await take(one, len(ethers)) == ethers
        expected = [each for each in coarse if each["s"] != "PEPEUSDT"]
        assert [json.loads(await raw.recv()) for _ in expected] == expected


async def test_a_slow_client_at_full_speed_loses_nothing_and_holds_the_tape_back() -> None:
    tape = made(100_000)
    async with (
        serve([TapePlayer(tape, speed=None)], options=PATIENT) as running,
        stuck_client(running, "BTCUSDT", "ETHUSDT", "PEPEUSDT", receive_buffer=16_384) as reader,
    ):
        await until(lambda: running.status().sent > 0)
        before = -1
        while running.status().sent != before:  # it stops, as no client reads
            before = running.status().sent
            await asyncio.sleep(0.1)
        assert 0 < before < len(tape)
        expected = bytes(tape.frames(0, len(tape)))
        assert await reader.readexactly(len(expected)) == expected
        await until(lambda: running.status().state == "finished")


@asynccontextmanager
async def stuck_client(
    running: RunningSandbox, *symbols: str, receive_buffer: int
) -> AsyncIterator[asyncio.StreamReader]:
    """Open a websocket of which nothing is read nor answered unless asked for."""
    host, port = running.ws_url.removeprefix("ws://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer)
    path = address(running, *symbols).removeprefix(running.ws_url)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    try:
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_client_that_vanishes_does_not_hold_the_tape_for_ever() -> None:
    tape = made(100_000)
    everything = ("BTCUSDT", "ETHUSDT", "PEPEUSDT")
    async with (
        serve([TapePlayer(tape, speed=None, hold=True)], options=PATIENT) as running,
        listen(address(running, "ETHUSDT")) as client,
    ):
        async with stuck_client(running, *everything, receive_buffer=16_384):
            await until(lambda: running.status().sent > 0)
        expected = len(tape.columns[SymbolId("binance", "ETHUSDT")])
        assert len(await take(client, expected)) == expected


async def test_a_slow_client_of_a_paced_tape_is_disconnected_and_others_are_not() -> None:
    tape = made(80_000)  # 80 s
    async with (
        serve(
            [TapePlayer(tape, speed=30, hold=True)], options=SandboxOptions(backlog_bytes=500_000)
        ) as running,
        stuck_client(running, "BTCUSDT", "PEPEUSDT", receive_buffer=4096) as reader,
        listen(address(running, "ETHUSDT")) as client,
    ):
        expected = len(tape.columns[SymbolId("binance", "ETHUSDT")])
        assert len(await take(client, expected)) == expected
        subscribed = View(frozenset({"btcusdt@trade", "pepeusdt@trade"}), Style(combined=True, micro=True))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(Rendering(tape, subscribed).between(0, len(tape))))


async def test_a_late_client_gets_the_rest_and_finds_what_came_before_by_rest() -> None:
    tape = made(20_000)  # 20 s
    symbol = "BTCUSDT"
    async with serve([TapePlayer(tape, speed=2)]) as running:
        async with listen(address(running, symbol)) as client:
            early = await take(client, 10)
        async with listen(address(running, symbol)) as client:
            (first,) = await take(client, 1)
            missed: list[int] = []
            next_id = early[0]["t"]
            while not missed or missed[-1] < first["t"] - 1:
                path = f"/api/v3/historicalTrades?symbol={symbol}&fromId={next_id}&limit=1000"
                page = await get(running, path)
                missed += [trade["id"] for trade in page if trade["id"] < first["t"]]
                next_id = page[-1]["id"] + 1
            assert missed == list(range(early[0]["t"], first["t"]))


async def test_a_tape_starts_when_all_awaited_symbols_are_subscribed_on_any_connection() -> None:
    tape = made(60)
    wanted = [SymbolId("binance", name) for name in ("BTCUSDT", "PEPEUSDT", "ELSEUSDT")]
    player = TapePlayer(tape, speed=None, hold=True, wanted=wanted)
    async with serve([player]) as running, listen(address(running, "BTCUSDT", "ETHUSDT")) as first:
        await asyncio.sleep(0)
        assert running.status().state == "waiting"
        async with listen(address(running, "PEPEUSDT")) as second:
            for client, names in ((first, {"BTCUSDT", "ETHUSDT"}), (second, {"PEPEUSDT"})):
                count = sum(tape.count(SymbolId("binance", name)) for name in names)
                assert {event["s"] for event in await take(client, count)} == names


async def test_a_tape_of_which_nothing_is_wanted_is_over_at_once() -> None:
    player = TapePlayer(made(10), speed=None, hold=True, wanted=[SymbolId("coinbase", "BTC-USD")])
    async with serve([player]) as running:
        await running.playing
        assert (running.status().state, running.status().sent) == ("finished", 0)


async def test_a_paced_tape_keeps_its_own_time() -> None:
    tape = made(200, rate=100)  # two seconds
    length_us = tape.event_times_us[-1] - tape.event_times_us[0]
    player = TapePlayer(tape, speed=10, hold=True)
    started_s = time.monotonic()  # the tape starts while the client still connects
    async with (
        serve([player]) as running,
        listen(address(running, "BTCUSDT", "ETHUSDT", "PEPEUSDT")) as client,
    ):
        await take(client, 100)
        between_us = (await get(running, "/api/v3/time"))["serverTime"] * 1000
        await take(client, 100)
        assert time.monotonic() - started_s > length_us / 1e6 / 10 * 0.9
        assert tape.event_times_us[0] < between_us <= tape.event_times_us[-1]
        assert player.now_us() == tape.event_times_us[-1]


async def test_live_trades_are_stamped_when_sent_and_count_up() -> None:
    symbols = name_symbols(100)
    async with (
        serve([LiveSource(SandboxBinance(), symbols, rate=10_000, seed=1, clock_us=now_us)]) as running,
        listen(address(running, *symbols)) as client,
    ):
        connected_us = now_us()
        events = await take(client, 5_000)
        assert connected_us - 1_000_000 < events[0]["T"] <= now_us()
        assert all(low["T"] <= high["T"] for low, high in pairwise(events))
        assert all(event["E"] == event["T"] > 10**15 for event in events)
        for symbol in symbols:
            found = [event["t"] for event in events if event["s"] == symbol]
            assert found == list(range(found[0], found[0] + len(found)))
        event = events[-1]
        path = f"/api/v3/historicalTrades?symbol={event['s']}&fromId={event['t']}&limit=1"
        (row,) = await get(running, path)
        assert (row["price"], row["qty"], row["time"]) == (event["p"], event["q"], event["T"] // 1000)
        rows = await get(running, "/api/v3/klines?symbol=BTCUSDT&interval=1m")
        assert sum(row[8] for row in rows) > 0  # the newest minute may just have begun
        assert running.status().total is None


async def test_a_client_that_sends_too_much_is_disconnected() -> None:
    async with (
        serve([TapePlayer(made(), speed=None)], options=PATIENT) as running,
        listen(f"{running.ws_url}/ws") as client,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            await _ask_often(client)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")


async def _ask_often(client: ClientConnection) -> None:
    for _ in range(1_000):  # more than a slow machine manages within the limit
        await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await client.recv()


async def test_an_unanswered_ping_ends_the_connection() -> None:
    options = SandboxOptions(ping_interval_s=0.05, ping_timeout_s=0.1)
    async with (
        serve([TapePlayer(made(10), speed=1, hold=True)], options=options) as running,
        stuck_client(running, "BTCUSDT", receive_buffer=65_536) as reader,
    ):
        head = await asyncio.wait_for(reader.readexactly(2), DEADLINE_S)
        assert head[0] == 0x89  # a ping
        rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
        assert bytes([0x88]) in rest  # a closing frame, then the end


async def test_a_connection_ends_with_its_age() -> None:
    async with (
        serve([TapePlayer(made(10), speed=1, hold=True)], options=limited(connection_age_s=0.05)) as running,
        listen(f"{running.ws_url}/ws") as client,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def test_the_end_is_announced() -> None:
    async with serve([TapePlayer(made(10), speed=1, hold=True)]) as running:
        client = await listen(address(running, "BTCUSDT"))
    message = json.loads(await client.recv())
    assert (message["stream"], message["data"]["e"]) == ("!serverShutdown", "serverShutdown")
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_errors_have_the_venues_status_and_body() -> None:
    player = TapePlayer(made(10), speed=1, hold=True)
    async with serve([player]) as running:
        with pytest.raises(HTTPError) as refused:
            await get(running, "/api/v3/trades?symbol=NOSUCH")
        with refused.value as answer:
            assert answer.code == 400
            assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "25"
            assert json.load(answer) == {"code": -1121, "msg": "Invalid symbol."}
        with pytest.raises(HTTPError) as missing:
            await get(running, "/api/v3/nothing")
        missing.value.close()
        assert missing.value.code == 404
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{running.ws_url}/elsewhere")
        path = "/api/v3/time"
        in_microseconds = await asyncio.to_thread(
            read, running.rest_url + path, {"X-MBX-TIME-UNIT": "microsecond"}
        )
        assert in_microseconds["serverTime"] == player.now_us()


async def test_other_frames_of_a_capture_come_along_when_asked_for(marketdata: Path) -> None:
    path = marketdata / "binance-spot" / "btcusdt_20240808.gz"
    frames = list(read_frames([path]))
    (tape,) = record(frames, all_frames=True)
    async with (
        serve([TapePlayer(tape, speed=None)], options=PATIENT) as running,
        listen(address(running, "BTCUSDT")) as client,
    ):
        messages = await receive(client, len(frames))
        assert [message.get("stream", "") for message in messages] == [
            captured.frame.stream for captured in frames
        ]
