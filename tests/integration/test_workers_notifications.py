"""Notifications over real SMTP and HTTP connections: what arrives, how often, and what is never shown."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from mail_server import MailServer, receiving_mail
from receiving import Receiver, receiving
from working import until

from db.notifications import NotificationRows
from db.pool import Pool, open_pool, transaction
from tickplant.notifications import Notification, NotificationSettings, parse_targets
from workers.notifications.delivery import deliver_notifications

TOKEN = "a-token-of-mine-12345"
SETTINGS = NotificationSettings(attempts=3, first_wait_s=0.01, poll_s=0.02)

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url, size=8, application="test") as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with receiving_mail() as server:
        yield server


@pytest.fixture
def log_lines() -> Iterator[StringIO]:
    """What the process would log at the level debug; pytest's own handler reads every logger."""
    lines, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(lines), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(level)
    root.removeHandler(handler)


def http_url(receiver: Receiver, host: str = "127.0.0.1") -> str:
    """Apprise's own service: JSON by POST."""
    return f"json://me:{TOKEN}@{host}:{receiver.port}/{TOKEN}"


async def write(pool: Pool, target: str, *texts: str) -> None:
    """Store notifications that are due at once, as a worker's transaction does."""
    async with transaction(pool) as connection:
        rows = NotificationRows([Notification(target, text, None) for text in texts])
        await rows.write(connection, "1-0")
        await connection.execute("update notifications set due_at = clock_timestamp()")


@asynccontextmanager
async def delivering(
    pool: Pool, targets: str, settings: NotificationSettings = SETTINGS
) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    with_targets = settings._replace(targets=parse_targets(targets))
    task = asyncio.create_task(deliver_notifications(pool, with_targets, stop))
    try:
        yield task
    finally:
        stop.set()
        await task


async def settled(pool: Pool, count: int) -> list[tuple[str, str, int, str | None]]:
    """Target, state, attempts and reason of notifications, when so many have been settled."""

    async def done() -> bool:
        query = "select count(*) = $1 from notifications where state <> 'waiting'"
        return bool(await pool.fetchval(query, count))

    await until(done, f"{count} notifications settled")
    rows = await pool.fetch("select target, state, attempts, reason from notifications order by 1, 2, 3")
    return [tuple(row) for row in rows]


def messages(receiver: Receiver) -> Sequence[tuple[str, str]]:
    """Title and text of every message, in order."""
    documents = [json.loads(request.body) for request in receiver.requests]
    return [(document["title"], document["message"]) for document in documents]


async def test_a_burst_is_one_message(pool: Pool, receiver: Receiver) -> None:
    texts = [f"text {number} <b> & *x*" for number in range(20)]
    await write(pool, "ops", *texts)
    await write(pool, "me", "alone")
    async with delivering(pool, f"ops={http_url(receiver)} me={http_url(receiver)}"):
        assert {row[1:] for row in await settled(pool, 21)} == {("delivered", 1, None)}
    assert sorted(messages(receiver)) == [
        ("tickplant", "alone"),
        ("tickplant: 20 notifications", "\n".join(texts)),
    ]


async def test_new_texts_join_one_that_is_due(pool: Pool, receiver: Receiver) -> None:
    await write(pool, "ops", "one")
    async with transaction(pool) as connection:
        await NotificationRows([Notification("ops", "two", None)]).write(connection, "2-0")
        await connection.execute(
            "update notifications set due_at = due_at + interval '1 hour' where text = 'two'"
        )
    async with delivering(pool, f"ops={http_url(receiver)}"):
        await settled(pool, 2)
    assert messages(receiver) == [("tickplant: 2 notifications", "one\ntwo")]


async def test_a_message_longer_than_its_target_takes_says_how_many_are_left_out(
    pool: Pool, receiver: Receiver
) -> None:
    await write(pool, "ops", *(f"{number} {'x' * 100}" for number in range(500)))
    async with delivering(pool, f"ops={http_url(receiver)}"):
        await settled(pool, 500)
    ((title, text),) = messages(receiver)
    assert title == "tickplant: 500 notifications"
    assert text.endswith(f"and {500 - (len(text.splitlines()) - 1)} more")


async def test_mail_arrives(pool: Pool, mail: MailServer) -> None:
    await write(pool, "mail", "binance:BTCUSDT: price 62001 is above 62000 é", "two")
    async with delivering(pool, f"mail={mail.url()}"):
        assert {row[1:] for row in await settled(pool, 2)} == {("delivered", 1, None)}
    (message,) = mail.messages
    assert message["subject"] == "tickplant: 2 notifications"
    assert "me@example.org" in message["to"]
    assert message.get_content().splitlines() == ["binance:BTCUSDT: price 62001 is above 62000 é", "two"]


async def test_what_fails_is_sent_again(pool: Pool, receiver: Receiver) -> None:
    answers = iter(["500 Broken", "429 Slow down", "200 OK"])
    receiver.answer = lambda _: next(answers)
    await write(pool, "ops", "one")
    async with delivering(pool, f"ops={http_url(receiver)}"):
        assert await settled(pool, 1) == [("ops", "delivered", 3, None)]
    assert messages(receiver) == [("tickplant", "one")] * 3


async def test_one_of_two_targets_of_a_tag_is_repeated_alone(
    pool: Pool, receiver: Receiver, mail: MailServer
) -> None:
    answers = iter(["500 Broken", "200 OK"])
    receiver.answer = lambda _: next(answers)
    await write(pool, "ops", "one")
    await write(pool, "ops/2", "one")
    async with delivering(pool, f"ops={http_url(receiver)} ops={mail.url()}"):
        assert [row[:3] for row in await settled(pool, 2)] == [
            ("ops", "delivered", 2),
            ("ops/2", "delivered", 1),
        ]
    assert (len(receiver.requests), len(mail.messages)) == (2, 1)


async def test_secrets_are_in_no_reason_and_no_log_line(
    pool: Pool, receiver: Receiver, mail: MailServer, log_lines: StringIO
) -> None:
    receiver.answer = lambda request: f"403 No {request.path}"
    targets = (
        f"http={http_url(receiver)} closed=json://me:{TOKEN}@127.0.0.1:1/{TOKEN}"
        f" name=json://{TOKEN}.invalid/{TOKEN} mail={mail.url('another-password-1')}"
    )
    for target in ("http", "closed", "name", "mail", "gone"):
        await write(pool, target, "one")
    async with delivering(pool, targets):
        rows = await settled(pool, 5)
    reasons = {target: reason or "" for target, _, _, reason in rows}
    assert {row[1:3] for row in rows} == {("dead", 3)}
    assert "403" in reasons["http"]
    assert "TICKPLANT_NOTIFY has no target gone" in reasons["gone"]
    assert all(reason.endswith("given up after 3 attempts") for reason in reasons.values())
    assert mail.messages == []
    shown = log_lines.getvalue() + "".join(reasons.values())
    assert TOKEN not in shown
    assert "another-password" not in shown
    assert log_lines.getvalue().count("given up:") == 5


async def test_a_target_that_hangs_delays_neither_the_others_nor_the_end(
    pool: Pool, receiver: Receiver
) -> None:
    async with receiving() as slow:
        slow.answer = lambda _: None
        await write(pool, "slow", "one")
        await write(pool, "quick", "two")
        async with delivering(pool, f"slow={http_url(slow)}?rto=60 quick={http_url(receiver)}"):

            async def both() -> bool:
                return bool(slow.requests) and messages(receiver) == [("tickplant", "two")]

            await until(both, "both requested")
        assert len(slow.requests) == 1
        # Another process takes it when it counts as lost.
        state = await pool.fetchrow("select state, attempts from notifications where target = 'slow'")
        assert state is not None
        assert tuple(state) == ("waiting", 1)


async def test_several_processes_deliver_each_text_once(pool: Pool, receiver: Receiver) -> None:
    targets = " ".join(f"t{number}={http_url(receiver)}" for number in range(7))
    for number in range(100):
        await write(pool, f"t{number % 7}", str(number))
    async with delivering(pool, targets), delivering(pool, targets):
        await settled(pool, 100)
    sent = [line for _, text in messages(receiver) for line in text.splitlines()]
    assert sorted(map(int, sent)) == list(range(100))
