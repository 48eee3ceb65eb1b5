"""What goes wrong, over real sockets: each fault is seen by a client and counted, and history stays whole."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.faults import DEFAULT_CHANCES, Fault, FaultPlan
from sandbox.generator import generate
from sandbox.player import TapePlayer
from sandbox.server import RunningSandbox, SandboxOptions, serve
from sandbox.tape import Tape
from sandbox.venues import VENUES

DEADLINE_S: Final = 120
"""For thousands of frames, on a machine that does much else."""
SYMBOLS: Final = {"binance": "BTCUSDT", "coinbase": "BTC-USD", "finnhub": "AAPL", "kraken": "BTC/USD"}
REQUESTS: Final = {
    "coinbase": '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches","heartbeat"]}',
    "kraken": '{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}',
    "finnhub": '{"type":"subscribe","symbol":"AAPL"}',
}


def made(venue: str = "binance", count: int = 3_000) -> Tape:
    return generate([SYMBOLS[venue]], count, rate=1000, seed=7, venue=VENUES[venue])


def troubled(seed: int = 1, /, **chances: float) -> SandboxOptions:
    named = {Fault(name.replace("_", "-")): chance for name, chance in chances.items()}
    return SandboxOptions(ping_timeout_s=None, beat_s=0.05, plan=FaultPlan(seed, named))


def listen(running: RunningSandbox, venue: str = "binance") -> connect:
    path = {"binance": "/stream?streams=btcusdt@trade", "finnhub": "/?token=x"}.get(venue, "/")
    return connect(
        running.addresses[venue].ws_url + path, compression=None, ping_interval=None, close_timeout=1
    )


def hold(tape: Tape) -> list[TapePlayer]:
    return [TapePlayer(tape, speed=None, hold=True)]


def within(seconds: float) -> Iterator[None]:
    """Yield again and again; fail when it takes too long."""
    until_s = time.monotonic() + seconds
    while True:
        assert time.monotonic() < until_s, "it takes too long"
        yield


async def take_all(client: ClientConnection, running: RunningSandbox) -> list[str]:
    """Return what comes until the end, of the connection or of the tape and what follows it."""
    texts: list[str] = []
    pong: Any = None
    with suppress(ConnectionClosed):
        for _ in within(DEADLINE_S):
            all_here = pong is not None and pong.done()
            try:
                async with asyncio.timeout(0.01 if all_here else 0.5):
                    text = str(await client.recv())
            except TimeoutError:
                if all_here:
                    return texts
            else:
                if not re.search('"heartbeat"|"ping"', text):
                    texts.append(text)
                    continue
            if pong is None and running.status().state == "finished":
                pong = await client.ping()  # its answer comes after all that was sent before
    return texts


def trade_ids(texts: list[str]) -> list[int]:
    return [json.loads(text)["data"]["t"] for text in texts]


def history(running: RunningSandbox, first_id: int) -> list[int]:
    found: list[int] = []
    while True:
        url = f"{running.rest_url}/api/v3/historicalTrades?symbol=BTCUSDT&limit=1000&fromId={first_id}"
        with urlopen(url, timeout=DEADLINE_S) as answer:
            page = json.load(answer)
        if not page:
            return found
        found += [trade["id"] for trade in page]
        first_id = found[-1] + 1


async def test_lost_frames_are_counted_and_their_trades_are_in_history() -> None:
    tape = made()
    async with serve(hold(tape), options=troubled(lost=0.05)) as running, listen(running) as client:
        ids = trade_ids(await take_all(client, running))
        whole = await asyncio.to_thread(history, running, ids[0] - 100)
        assert len(whole) == 3_000
        missing = sorted(set(whole) - set(ids))
        assert len(missing) == running.status().faults["lost"] > 50
        assert ids == [each for each in whole if each not in missing]
        assert ids[-1] == whole[-1]  # else nobody could know that the last is missing


async def test_duplicated_and_reordered_frames_all_come() -> None:
    options = troubled(duplicated=0.05, reordered=0.05)
    async with serve(hold(made()), options=options) as running, listen(running) as client:
        ids = trade_ids(await take_all(client, running))
        faults = running.status().faults
        assert len(ids) == 3_000 + faults["duplicated"]
        assert len(set(ids)) == 3_000
        assert faults["reordered"] > 50
        assert ids != sorted(ids)


async def test_broken_frames_come_among_good_ones() -> None:
    options = troubled(malformed=0.02, mistyped=0.02)
    async with serve(hold(made()), options=options) as running, listen(running) as client:
        texts = await take_all(client, running)
        assert len(texts) == 3_000
        broken = 0
        for text in texts:
            try:
                json.loads(text)
            except json.JSONDecodeError:
                broken += 1
        assert broken == running.status().faults["malformed"] > 20
        assert running.status().faults["mistyped"] > 20


async def test_an_oversized_frame_is_more_than_a_client_takes() -> None:
    async with serve(hold(made()), options=troubled(oversized=0.01)) as running:
        client = await listen(running)
        await take_all(client, running)
        assert client.protocol.close_sent is not None
        assert client.protocol.close_sent.code == 1009


async def test_a_dropped_connection_ends_abruptly_and_the_next_continues() -> None:
    async with serve(hold(made()), options=troubled(dropped=0.002)) as running:
        connections = 0
        ids: list[int] = []
        for _ in within(DEADLINE_S):
            if running.status().state == "finished":
                break
            async with listen(running) as client:
                connections += 1
                ids += trade_ids(await take_all(client, running))
        assert running.status().faults == {"dropped": connections - 1}
        assert connections > 1
        assert ids == sorted(ids)


async def test_a_mute_connection_answers_pings_and_nothing_else() -> None:
    tape = made("coinbase", 500)
    players = [TapePlayer(tape, speed=20, hold=True)]
    async with (
        serve(players, options=troubled(mute=0.05)) as running,
        listen(running, "coinbase") as client,
    ):
        await client.send(REQUESTS["coinbase"])
        texts = await take_all(client, running)
        assert running.status().faults == {"mute": 1}
        assert not await quiet_again(client)
        matches = [text for text in texts if '"type":"match"' in text]
        assert 0 < len(matches) < 400


async def quiet_again(client: ClientConnection) -> bool:
    """Say whether anything comes, though pings are answered and heartbeats due."""
    await (await client.ping())
    await client.send(REQUESTS["coinbase"])
    try:
        await asyncio.wait_for(client.recv(), 0.3)
    except TimeoutError:
        return False
    return True


async def test_a_tape_at_full_speed_waits_for_the_successor_of_a_mute_connection() -> None:
    tape = made(count=20_000)
    async with serve(hold(tape), options=troubled(3, mute=0.0005)) as running:
        found: set[int] = set()
        connections = 0
        for _ in within(DEADLINE_S):
            if running.status().state == "finished":
                break
            async with listen(running) as client:
                connections += 1
                with suppress(TimeoutError, ConnectionClosed):
                    while True:
                        message = json.loads(await asyncio.wait_for(client.recv(), 0.3))
                        found.add(message["data"]["t"])
        assert running.status().faults["mute"] >= 2
        assert len(found) > 10_000


async def test_a_slow_connection_loses_nothing() -> None:
    async with serve(hold(made()), options=troubled(slow=0.001)) as running, listen(running) as client:
        started_s = time.monotonic()
        ids = trade_ids(await take_all(client, running))
        assert ids == list(range(ids[0], ids[0] + 3_000))
        assert running.status().faults["slow"] >= 1
        assert time.monotonic() - started_s > 0.3


@pytest.mark.parametrize("venue", ["binance", "kraken", "coinbase"])
async def test_a_shutdown_is_announced_where_the_venue_does(venue: str) -> None:
    players = [TapePlayer(made(venue), speed=1, hold=True)]
    async with (
        serve(players, options=troubled(shutdown=0.2)) as running,
        listen(running, venue) as client,
    ):
        if venue in REQUESTS:
            await client.send(REQUESTS[venue])
        texts = await take_all(client, running)
        notices = [text for text in texts if re.search("serverShutdown|maintenance", text)]
        assert bool(notices) == (venue != "coinbase")
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 1001
        assert len(texts) > texts.index(notices[0]) + 1 if notices else True


@pytest.mark.parametrize("venue", ["coinbase", "kraken", "finnhub"])
async def test_a_first_subscription_is_refused_and_the_next_obeyed(venue: str) -> None:
    async with (
        serve(hold(made(venue)), options=troubled(refused=1)) as running,
        listen(running, venue) as client,
    ):
        await client.send(REQUESTS[venue])
        async with asyncio.timeout(DEADLINE_S):
            while not re.search("(?i)error", str(await client.recv())):
                pass
        assert running.status().state == "waiting"
        await client.send(REQUESTS[venue])
        await take_all(client, running)
        assert running.status().sent == 3_000
        assert running.status().faults == {"refused": 1}


async def test_where_the_address_subscribes_the_connection_is_refused() -> None:
    async with serve(hold(made()), options=troubled(refused=0.5)) as running:
        outcomes: Counter[bool] = Counter()
        for _ in range(20):
            try:
                async with listen(running):
                    outcomes[True] += 1
            except InvalidStatus as refused:
                outcomes[refused.response.status_code != 503] += 1
        assert running.status().faults["refused"] == outcomes[False] > 0
        assert outcomes[True] > 0


async def test_a_first_subscription_is_ignored_where_silence_can_be_noticed() -> None:
    async with (
        serve(hold(made("coinbase")), options=troubled(ignored=1)) as running,
        listen(running, "coinbase") as client,
    ):
        await client.send(REQUESTS["coinbase"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.3)
        await client.send(REQUESTS["coinbase"])
        assert json.loads(await client.recv())["type"] == "subscriptions"
    async with (
        serve(hold(made("finnhub")), options=troubled(ignored=1)) as running,
        listen(running, "finnhub") as client,
    ):
        await client.send(REQUESTS["finnhub"])
        assert await take_all(client, running)
        assert not running.status().faults


async def test_heartbeats_tell_a_time_that_is_off_by_seconds() -> None:
    (player,) = hold(made("coinbase"))
    async with (
        serve([player], options=troubled(skewed=1)) as running,
        listen(running, "coinbase") as client,
    ):
        await client.send(REQUESTS["coinbase"])
        texts = await take_all_until_heartbeat(client)
        parse = VENUES["coinbase"].parse_frame
        heartbeat = json.loads(texts[-1])
        match = f'{{"type":"ticker","product_id":"BTC-USD","time":"{heartbeat["time"]}"}}'
        last = parse(match.encode(), 0)
        assert last is not None
        assert 1_000_000 <= abs(last.event_time_us - player.now_us()) <= 10_000_000
        assert running.status().faults["skewed"] >= 1


async def take_all_until_heartbeat(client: ClientConnection) -> list[str]:
    texts: list[str] = []
    matches = 0
    while True:
        texts.append(str(await asyncio.wait_for(client.recv(), DEADLINE_S)))
        matches += '"type":"match"' in texts[-1]
        if matches == 3_000 and '"heartbeat"' in texts[-1]:
            return texts


async def test_requests_fail_as_venues_let_them_fail() -> None:
    tapes = [made("binance"), made("coinbase")]
    chances = {"rest_429": 0.2, "rest_418": 0.2, "rest_5xx": 0.2, "skewed": 0.2}
    patient = replace(VENUES["coinbase"].limits, requests=1_000)
    options = replace(troubled(**chances), limits={"coinbase": patient})
    async with serve([TapePlayer(tape, hold=True) for tape in tapes], options=options) as running:
        binance = await asyncio.to_thread(ask_often, f"{running.addresses['binance'].rest_url}/api/v3/time")
        coinbase = await asyncio.to_thread(ask_often, f"{running.addresses['coinbase'].rest_url}/time")
        assert {200, 418, 429} < binance.keys() <= {200, 418, 429, 500, 502, 503, 504}
        assert {200, 429} < coinbase.keys() <= {200, 429, 500, 502, 503, 504}
        faults = running.status().faults
        assert faults.keys() == {"rest-429", "rest-418", "rest-5xx", "skewed"}


def ask_often(url: str) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for _ in range(60):
        try:
            with urlopen(url, timeout=DEADLINE_S) as answer:
                statuses[answer.status] += 1
        except HTTPError as refused:
            with refused:
                has_delay = int(refused.headers.get("Retry-After", 0)) > 0
                statuses[refused.code if has_delay or refused.code >= 500 else 0] += 1
    return statuses


@pytest.mark.parametrize("venue", SYMBOLS)
async def test_the_same_seed_sends_a_client_the_same_bytes(venue: str) -> None:
    async def play(seed: int) -> tuple[list[str], dict[str, int]]:
        chances: dict[Fault, float] = {
            fault: chance for fault, chance in DEFAULT_CHANCES.items() if fault not in TIMED
        }
        options = SandboxOptions(ping_timeout_s=None, beat_s=1000, plan=FaultPlan(seed, chances))
        async with serve(hold(made(venue, 2_000)), options=options) as running:
            async with listen(running, venue) as client:
                if venue in REQUESTS:
                    await client.send(REQUESTS[venue])
                texts = await take_all(client, running)
            return texts, running.status().faults

    first, again, other = [await play(seed) for seed in (4, 4, 5)]
    assert first == again
    assert first != other


TIMED: Final = (Fault.SHUTDOWN, Fault.REFUSED, Fault.IGNORED, Fault.OVERSIZED, Fault.DROPPED, Fault.MUTE)
"""What ends before the tape does, or at a moment that the machine's speed decides."""


async def test_nothing_goes_wrong_without_a_plan() -> None:
    async with serve(hold(made()), options=SandboxOptions(ping_timeout_s=None)) as running:
        async with listen(running) as client:
            ids = trade_ids(await take_all(client, running))
        assert ids == list(range(ids[0], ids[0] + 3_000))
        assert running.status().faults == {}
        status: Any = running.status()
        assert status.bans == 0
