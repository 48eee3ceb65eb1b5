"""Webhooks over real connections: what arrives, how often, and what is never asked for."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alerting import START_US
from receiving import Received, Receiver, receiving
from working import until

from db.alerts.states import AlertRows
from db.pool import Pool, open_pool, transaction
from tickplant.derived import Firing
from tickplant.webhooks import Resolve, WebhookSettings, body_of, sign
from workers.webhooks.delivery import deliver

SECRET = "a secret of many characters"
SETTINGS = WebhookSettings(
    SECRET, allowed=["127.0.0.1"], attempts=3, first_wait_s=0.01, poll_s=0.02, timeout_s=20
)

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url, size=8, application="test") as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


def firing(number: int, alert_id: str = "a") -> Firing:
    price = f"{number}.50"
    return Firing(alert_id, number, "me", "binance", "AAAUSDT", "above", START_US, 7, price, price, "1", "")


async def fire(pool: Pool, *urls: str, alert_id: str = "a") -> None:
    """Store firings that go to these addresses, as a worker's transaction does."""
    made = [(firing(number, alert_id), url) for number, url in enumerate(urls, 1)]
    async with transaction(pool) as connection:
        await AlertRows(0, [], [firing for firing, _ in made], made).write(connection, "1-0")


@asynccontextmanager
async def delivering(
    pool: Pool, settings: WebhookSettings = SETTINGS, resolve: Resolve | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(deliver(pool, settings, stop, resolve=resolve))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def settled(pool: Pool, count: int) -> list[tuple[str, int, str | None]]:
    """State, attempts and reason of webhooks, when so many have been settled."""

    async def done() -> bool:
        return bool(await pool.fetchval("select count(*) = $1 from webhooks where state <> 'waiting'", count))

    await until(done, f"{count} webhooks settled")
    rows = await pool.fetch("select state, attempts, reason from webhooks order by alert_id, number")
    return [tuple(row) for row in rows]


async def resolve_to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_a_firing_arrives_signed_and_with_its_key(pool: Pool, receiver: Receiver) -> None:
    await fire(pool, receiver.url(path="/hook?key=k"))
    async with delivering(pool):
        assert await settled(pool, 1) == [("delivered", 1, None)]
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/hook?key=k", body_of(firing(1)))
    assert request.headers["idempotency-key"] == "a-1"
    assert request.headers["content-type"] == "application/json"
    time_text, _, signature = request.headers["tickplant-signature"].partition(",v1=")
    sent_s = int(time_text.removeprefix("t="))
    assert abs(time.time() - sent_s) < 60
    assert signature == sign(request.body, secret=SECRET, now_s=sent_s)


async def test_what_fails_is_sent_again_with_the_same_key(pool: Pool, receiver: Receiver) -> None:
    answers = iter(["500 Broken", "429 Slow down", "204 Thanks"])
    receiver.answer = lambda _: next(answers)
    await fire(pool, receiver.url())
    async with delivering(pool):
        assert await settled(pool, 1) == [("delivered", 3, None)]
    assert receiver.keys == ["a-1"] * 3
    assert len({request.body for request in receiver.requests}) == 1


async def test_a_delivery_that_keeps_failing_is_given_up_with_the_reason(
    pool: Pool, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = lambda request: "410 Gone" if "gone" in request.path else "503 Away"
    urls = [receiver.url(path="/gone"), receiver.url(path="/key-of-mine"), "http://127.0.0.1:1/", "ftp://x/"]
    await fire(pool, *urls)
    async with delivering(pool):
        gone, away, closed, wrong = await settled(pool, 4)
    assert gone == ("dead", 1, "status 410: gone")
    assert away == ("dead", 3, "status 503; given up after 3 attempts")
    assert closed[:2] == wrong[:2] == ("dead", 3)
    assert "ConnectError" in (closed[2] or "")
    assert len(caplog.records) == 4
    assert "key-of-mine" not in caplog.text


async def test_a_delivery_that_is_too_old_is_given_up(pool: Pool, receiver: Receiver) -> None:
    receiver.answer = lambda _: "500 Broken"
    await fire(pool, receiver.url())
    await pool.execute("update webhooks set created_at = created_at - interval '1 hour'")
    async with delivering(pool, SETTINGS._replace(max_age_s=3599)):
        ((state, attempts, reason),) = await settled(pool, 1)
    assert (state, attempts) == ("dead", 1)
    assert "given up after 36" in (reason or "")


async def test_a_receiver_that_hangs_or_talks_without_end_is_left(pool: Pool, receiver: Receiver) -> None:
    endless = "200 OK\r\n" + "".join(f"x-{n}: {'y' * 60_000}\r\n" for n in range(4))
    receiver.answer = lambda request: None if "hang" in request.path else endless
    await fire(pool, receiver.url(path="/hang"), receiver.url(path="/endless"))
    async with delivering(pool, SETTINGS._replace(attempts=1, timeout_s=2)):
        hung, talked = await settled(pool, 2)
    assert hung == ("dead", 1, "no answer within 2 s; given up after 1 attempts")
    assert talked[0] == "dead"


async def test_a_redirect_is_not_followed(pool: Pool, receiver: Receiver) -> None:
    async with receiving() as inner:
        receiver.answer = lambda _: f"307 Elsewhere\r\nlocation: {inner.url()}"
        await fire(pool, receiver.url("hooks.test"))
        async with delivering(pool, SETTINGS._replace(allowed=["hooks.test"]), resolve_to_loopback):
            ((state, _, reason),) = await settled(pool, 1)
        assert (state, inner.requests) == ("dead", [])
        assert "redirects are not followed" in (reason or "")


async def test_loopback_gets_nothing_however_it_is_written(pool: Pool, receiver: Receiver) -> None:
    hosts = ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"]
    await fire(pool, *map(receiver.url, hosts))
    async with delivering(pool, SETTINGS._replace(allowed=(), attempts=1)):
        for state, _, reason in await settled(pool, len(hosts)):
            assert state == "dead"
            assert "is not a public address" in (reason or "")
    assert receiver.requests == []


async def test_the_dns_is_asked_once_an_attempt_and_a_changed_answer_is_checked_anew(
    pool: Pool, receiver: Receiver
) -> None:
    answers = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"]

    async def rebind(host: str, port: int) -> Sequence[str]:
        return [answers.pop(0)]

    receiver.answer = lambda _: "500 Broken"
    await fire(pool, receiver.url("hooks.test"))
    async with delivering(pool, resolve=rebind):
        ((_, attempts, _),) = await settled(pool, 1)
    assert (attempts, answers) == (3, ["127.0.0.2"])
    assert len(receiver.requests) == 2  # 127.0.0.2 is not among the allowed addresses
    assert {request.headers["host"] for request in receiver.requests} == {f"hooks.test:{receiver.port}"}


async def test_a_host_that_hangs_delays_no_other(pool: Pool, receiver: Receiver) -> None:
    def answer(request: Received) -> str | None:
        return None if request.headers["host"].startswith("slow") else "200 OK"

    receiver.answer = answer
    await fire(pool, *[receiver.url("slow.test")] * 60, *[receiver.url("quick.test")] * 20)
    settings = SETTINGS._replace(allowed=["slow.test", "quick.test"], timeout_s=30)
    async with delivering(pool, settings, resolve_to_loopback):
        assert len([row for row in await settled(pool, 20) if row[0] == "delivered"]) == 20
        hosts = Counter(request.headers["host"].partition(".")[0] for request in receiver.requests)
        assert hosts == {"quick": 20, "slow": 4}
        receiver.let_go()


async def test_several_processes_deliver_each_firing_once(pool: Pool, receiver: Receiver) -> None:
    await fire(pool, *[receiver.url(f"h{number % 7}.test") for number in range(200)])
    settings = SETTINGS._replace(allowed=[f"h{number}.test" for number in range(7)], timeout_s=10)
    async with (
        delivering(pool, settings, resolve_to_loopback),
        delivering(pool, settings, resolve_to_loopback),
    ):
        await settled(pool, 200)
    assert sorted(receiver.keys) == sorted(f"a-{number}" for number in range(1, 201))


async def test_a_delivery_started_by_a_killed_process_is_completed_by_another(
    pool: Pool, receiver: Receiver
) -> None:
    receiver.answer = lambda _: None
    await fire(pool, receiver.url(), receiver.url())
    async with delivering(pool, SETTINGS._replace(timeout_s=1)) as killed:

        async def begun() -> bool:
            return len(receiver.requests) == 2

        await until(begun, "two requests hang")
        killed.cancel()
    receiver.answer = lambda _: "200 OK"
    async with delivering(pool):
        assert await settled(pool, 2) == [("delivered", 2, None)] * 2
    assert Counter(receiver.keys) == {"a-1": 2, "a-2": 2}


async def test_without_a_secret_nothing_is_sent_and_what_waits_is_warned_of(
    pool: Pool, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    without_secret = SETTINGS._replace(secret=None)
    stopped = asyncio.Event()
    stopped.set()
    await fire(pool, receiver.url())
    await deliver(pool, without_secret, stopped)  # one that has just become due may be another worker's
    assert caplog.messages == []
    await pool.execute("update webhooks set due_at = due_at - interval '2 minutes'")
    await deliver(pool, without_secret, asyncio.Event())
    assert caplog.messages == ["webhooks wait and are not delivered: TICKPLANT_WEBHOOK_SECRET is not set"]
    assert receiver.requests == []
