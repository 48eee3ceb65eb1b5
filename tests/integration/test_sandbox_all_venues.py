"""All venues of the sandbox over real sockets, side by side."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.captures import read_captured_trades, read_frames
from sandbox.generator import generate
from sandbox.live import LiveSource
from sandbox.player import TapePlayer
from sandbox.server import RunningSandbox, SandboxOptions, serve
from sandbox.source import TradeSource
from sandbox.tape import record
from sandbox.venues import VENUES
from tickplant.clock import now_us
from tickplant.market import SymbolId

DEADLINE_S: Final = 20
LONGEST_S: Final = 300
"""For hundreds of thousands of messages, on a machine that does much else."""
PATIENT: Final = SandboxOptions(ping_timeout_s=None, beat_s=0.05)
SYMBOLS: Final = {
    "binance": ["BTCUSDT", "ETHUSDT"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "finnhub": ["AAPL", "SPY"],
    "kraken": ["BTC/USD", "ETH/USD"],
}

Json = dict[str, Any]


def players(paths: Sequence[Path]) -> list[TapePlayer]:
    return [TapePlayer(tape, speed=None, hold=True) for tape in record(read_frames(paths))]


def generated(venue: str, count: int = 2_000) -> TapePlayer:
    tape = generate(SYMBOLS[venue], count, rate=1000, seed=5, venue=VENUES[venue])
    return TapePlayer(tape, speed=None, hold=True)


def listen(running: RunningSandbox, venue: str, path: str = "/") -> connect:
    url = running.addresses[venue].ws_url + path
    return connect(url, compression=None, ping_interval=None, close_timeout=1)


async def subscribe(client: ClientConnection, venue: str, symbols: Sequence[str]) -> None:
    if venue == "coinbase":
        request: list[Json] = [
            {"type": "subscribe", "product_ids": symbols, "channels": ["matches", "heartbeat"]}
        ]
    elif venue == "kraken":
        request = [
            {"method": "subscribe", "params": {"channel": "trade", "symbol": symbols, "snapshot": True}}
        ]
    else:
        request = [{"type": "subscribe", "symbol": symbol} for symbol in symbols]
    for message in request:
        await client.send(json.dumps(message))


async def take(client: ClientConnection, until: Callable[[list[Json]], bool]) -> list[Json]:
    """Return messages as soon as they satisfy a condition."""
    messages: list[Json] = []
    async with asyncio.timeout(LONGEST_S):
        while not until(messages):
            messages.append(json.loads(await client.recv()))
    return messages


def of_type(messages: Sequence[Json], kind: str) -> list[Json]:
    return [message for message in messages if message.get("type") == kind]


def read(url: str) -> tuple[Any, dict[str, str]]:
    with urlopen(url, timeout=DEADLINE_S) as answer:
        return json.load(answer), dict(answer.headers)


async def get(running: RunningSandbox, venue: str, path: str) -> Any:
    return (await asyncio.to_thread(read, running.addresses[venue].rest_url + path))[0]


async def refusal(url: str) -> tuple[int, Any]:
    """Return the status and the body of an error."""

    def ask() -> tuple[int, Any]:
        with pytest.raises(HTTPError) as refused:
            urlopen(url, timeout=DEADLINE_S)
        with refused.value as answer:
            return answer.code, json.load(answer)

    return await asyncio.to_thread(ask)


async def test_the_recorded_coinbase_minute_comes_whole_between_the_sandboxs_own_messages(
    marketdata: Path,
) -> None:
    folder = marketdata / "coinbase-exchange"
    expected = [(trade.symbol, trade.trade_id, trade.price) for trade in read_captured_trades([folder])]
    latest = {trade.symbol: trade.trade_id for trade in read_captured_trades([folder])}
    async with serve(players([folder]), options=PATIENT) as running, listen(running, "coinbase") as client:
        await subscribe(client, "coinbase", ["BTC-USD", "ETH-USD"])
        messages = await take(
            client,
            lambda all_: (
                bool(all_)
                and [
                    latest.get(each.get("product_id", "")) == each.get("last_trade_id") for each in all_[-2:]
                ]
                == [True] * 2
            ),
        )
        counts = Counter(message["type"] for message in messages)
        assert (counts["subscriptions"], counts["last_match"], counts["match"]) == (1, 2, 435)
        assert [message["type"] for message in messages[:3]] == ["subscriptions", "last_match", "last_match"]
        matches = of_type(messages, "match")
        assert [(each["product_id"], each["trade_id"], each["price"]) for each in matches] == expected
        before = {each["product_id"]: each["trade_id"] for each in of_type(messages, "last_match")}
        assert before == {"BTC-USD": 1_052_119_288, "ETH-USD": 825_468_236}
        status = running.status()
        assert (status.state, status.sent, status.total) == ("finished", 435, 435)
        for symbol, last in latest.items():
            assert status.symbols[f"coinbase:{symbol}"].last_trade_id == last
            found = await _coinbase_history(running, symbol)
            assert found == list(range(before[symbol], last + 1))


async def _coinbase_history(running: RunningSandbox, symbol: str) -> list[int]:
    """Read a product's trades page by page, from the newest to the oldest; return them in order."""
    found: list[int] = []
    path = f"/products/{symbol}/trades?limit=100"
    while page := await get(running, "coinbase", path):
        found += [trade["trade_id"] for trade in page]
        path = f"/products/{symbol}/trades?limit=100&after={found[-1]}"
    return found[::-1]


async def test_recorded_stocks_come_whole_and_without_ids(marketdata: Path) -> None:
    async with (
        serve(players([marketdata / "stocks"]), options=PATIENT) as running,
        listen(running, "finnhub", "?token=x") as ibm,
        listen(running, "finnhub", "/?token=x") as spy,
    ):
        await subscribe(ibm, "finnhub", ["IBM"])
        await subscribe(spy, "finnhub", ["SPY"])
        ibm_rows, spy_rows = await asyncio.gather(_take_rows(ibm, 33_381), _take_rows(spy, 451_545))
        assert ibm_rows == {"IBM": 33_381}
        assert spy_rows == {"SPY": 451_545}
        status = running.status()
        assert status.total == 484_926
        assert status.symbols["finnhub:IBM"].last_trade_id is None
        with pytest.raises(InvalidStatus, match="401"):
            await listen(running, "finnhub")


async def _take_rows(client: ClientConnection, count: int) -> Counter[str]:
    """Count rows by symbol until there are as many, and then a ping: nothing more was on its way."""
    rows: Counter[str] = Counter()
    async with asyncio.timeout(LONGEST_S):
        while True:
            message = json.loads(await client.recv())
            if message["type"] == "ping" and rows.total() >= count:
                return rows
            rows.update(row["s"] for row in message.get("data", ()))


async def test_kraken_acknowledges_sends_and_gives_history() -> None:
    player = generated("kraken")
    async with serve([player], options=PATIENT) as running, listen(running, "kraken", "/v2") as client:
        await subscribe(client, "kraken", ["BTC/USD"])
        status, answer = await take(client, lambda all_: len(all_) == 2)
        assert status["channel"] == "status"
        assert answer["success"]
        await take(client, lambda all_: {"channel": "heartbeat"} in all_)
        await subscribe(client, "kraken", ["ETH/USD"])
        messages = await take(client, lambda all_: sum(len(each.get("data", ())) for each in all_) == 2_000)
        rows = [row for message in messages for row in message.get("data", ())]
        for symbol, name in (("BTC/USD", "XXBTZUSD"), ("ETH/USD", "XETHZUSD")):
            sent = [row["trade_id"] for row in rows if row["symbol"] == symbol]
            assert sent == list(range(sent[0], sent[0] + len(sent)))
            found: list[int] = []
            since = "0"
            while page := (await get(running, "kraken", f"/0/public/Trades?pair={symbol}&since={since}"))[
                "result"
            ]:
                if not page[name]:
                    break
                found += [trade[6] for trade in page[name]]
                since = page["last"]
            assert found == sent
        async with listen(running, "kraken", "/v2") as late:
            await subscribe(late, "kraken", ["BTC/USD"])
            snapshot = (await take(late, lambda all_: len(all_) == 3))[-1]
            assert snapshot["type"] == "snapshot"
            newest = [row["trade_id"] for row in rows if row["symbol"] == "BTC/USD"][-50:]
            assert [row["trade_id"] for row in snapshot["data"]] == newest


async def test_venues_play_side_by_side_each_to_its_own_clients() -> None:
    sources = [generated(venue, 500) for venue in SYMBOLS]
    async with serve(sources, options=PATIENT) as running:
        assert running.status().state == "waiting"
        async with (
            listen(running, "coinbase") as coinbase,
            listen(running, "kraken") as kraken,
            listen(running, "finnhub", "/?token=x") as finnhub,
            listen(running, "binance", "/stream?streams=btcusdt@trade/ethusdt@trade") as binance,
        ):
            await subscribe(coinbase, "coinbase", SYMBOLS["coinbase"])
            await subscribe(kraken, "kraken", SYMBOLS["kraken"])
            await subscribe(finnhub, "finnhub", SYMBOLS["finnhub"])
            await take(coinbase, lambda all_: len(of_type(all_, "match")) == 500)
            for client in (kraken, finnhub):
                await take(client, lambda all_: sum(len(each.get("data", ())) for each in all_) >= 500)
            await take(binance, lambda all_: len(all_) == 500)
        status = running.status()
        assert (status.state, status.sent, status.total) == ("finished", 2_000, 2_000)
        assert {name: venue.accepted for name, venue in status.venues.items()} == dict.fromkeys(SYMBOLS, 1)
        assert len(status.symbols) == 8


@pytest.mark.parametrize("venue", SYMBOLS)
async def test_endless_synthetic_markets_exist_for_every_venue(venue: str) -> None:
    source: TradeSource = LiveSource(
        VENUES[venue], SYMBOLS[venue], rate=2_000, seed=1, clock_us=now_us, hold=True
    )
    streams = "/".join(f"{symbol.lower()}@trade" for symbol in SYMBOLS[venue])
    path = {"binance": f"/stream?streams={streams}", "finnhub": "/?token=x"}.get(venue, "/")
    async with serve([source], options=PATIENT) as running, listen(running, venue, path) as client:
        if venue != "binance":
            await subscribe(client, venue, SYMBOLS[venue])
        found = 0
        async with asyncio.timeout(DEADLINE_S):
            while found < 500:
                frame = VENUES[venue].parse_frame(await client.recv(decode=False), 0)
                if frame is not None and not frame.historical:
                    found += len(frame.trades)
        assert running.status().sent >= 500
        history = source.history(SymbolId(venue, SYMBOLS[venue][0]))
        assert len(history.latest(10)) == 10


async def test_a_path_names_the_venue_and_binance_is_at_the_root() -> None:
    async with serve([generated("binance"), generated("coinbase")], options=PATIENT) as running:
        assert running.addresses["coinbase"].rest_url == f"{running.rest_url}/coinbase"
        assert await get(running, "binance", "/api/v3/ping") == {}
        body, headers = await asyncio.to_thread(read, f"{running.rest_url}/api/v3/ping")
        assert (body, headers["Connection"]) == ({}, "close")
        assert "iso" in await get(running, "coinbase", "/time")
        assert (await refusal(f"{running.rest_url}/coinbase/nothing"))[0] == 404
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{running.ws_url}/kraken/v2")
    async with serve([generated("coinbase")], options=PATIENT) as running:
        with pytest.raises(HTTPError) as missing:
            await asyncio.to_thread(read, f"{running.rest_url}/api/v3/ping")
        with missing.value as answer:
            assert b"/coinbase/" in answer.read()


@pytest.mark.parametrize("status", [404, 503])
async def test_history_can_be_switched_off(status: int) -> None:
    options = SandboxOptions(history_status=status)
    paths = {
        "binance": ("/api/v3/historicalTrades?symbol=BTCUSDT", "/api/v3/time"),
        "coinbase": ("/products/BTC-USD/trades", "/time"),
        "kraken": ("/0/public/Trades?pair=XBTUSD", "/0/public/Time"),
    }
    async with serve([generated(venue) for venue in paths], options=options) as running:
        for venue, (history, time) in paths.items():
            code, body = await refusal(running.addresses[venue].rest_url + history)
            assert code == status
            assert "history is switched off" in str(body) or venue == "kraken"
            assert await get(running, venue, time)


def limited(venue: str, **limits: Any) -> SandboxOptions:
    return SandboxOptions(limits={venue: replace(VENUES[venue].limits, **limits)})


async def test_who_asks_for_too_many_streams_is_banned_for_a_while() -> None:
    options = limited("kraken", streams_per_connection=1, ban_s=1)
    async with serve([generated("kraken")], options=options) as running:
        async with listen(running, "kraken") as client:
            await subscribe(client, "kraken", ["BTC/USD", "ETH/USD"])
            with pytest.raises(ConnectionClosed):
                await take(client, lambda _: False)
        with pytest.raises(InvalidStatus) as refused:
            await listen(running, "kraken")
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "1"
        assert running.status().bans == 1
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    async with listen(running, "kraken"):
                        break
                except InvalidStatus:
                    await asyncio.sleep(0.05)


async def test_binance_bans_with_418() -> None:
    options = limited("binance", streams_per_connection=1)
    path = "/stream?streams=btcusdt@trade/ethusdt@trade"
    async with serve([generated("binance")], options=options) as running:
        for bans in (1, 1):
            with pytest.raises(InvalidStatus) as refused:
                await listen(running, "binance", path)
            assert refused.value.response.status_code == 418
            assert running.status().venues["binance"].bans == bans


async def test_too_many_connection_attempts_or_messages_are_banned() -> None:
    options = limited("coinbase", connects=2, connects_window_s=10, ban_s=60)
    async with serve([generated("coinbase")], options=options) as running:
        async with listen(running, "coinbase"), listen(running, "coinbase"):
            with pytest.raises(InvalidStatus, match="429"):
                await listen(running, "coinbase")
        assert running.status().bans == 1
    options = limited("coinbase", messages_per_s=1)
    async with (
        serve([generated("coinbase")], options=options) as running,
        listen(running, "coinbase") as client,
    ):
        await client.ping()  # which is no message at this venue
        for _ in range(2):
            await subscribe(client, "coinbase", ["BTC-USD"])
        with pytest.raises(ConnectionClosed):
            await take(client, lambda _: False)
        assert running.status().bans == 1


async def test_who_does_not_subscribe_in_time_is_disconnected() -> None:
    options = limited("coinbase", subscribe_within_s=1)
    async with (
        serve([generated("coinbase")], options=options) as running,
        listen(running, "coinbase") as idle,
        listen(running, "coinbase") as busy,
    ):
        await subscribe(busy, "coinbase", ["BTC-USD"])
        with pytest.raises(ConnectionClosed):
            await take(idle, lambda _: False)
        async with asyncio.timeout(DEADLINE_S):
            while running.status().venues["coinbase"].connections != 1:  # noqa: ASYNC110  nothing notifies of it
                await asyncio.sleep(0.01)
        assert running.status().bans == 0
