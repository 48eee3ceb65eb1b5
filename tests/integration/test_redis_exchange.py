"""Exchanges with Redis past redis-py's commands: the same errors, and no answer is taken for another's."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import OwnRedis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from servers import REDIS, RedisOf, running
from working import until

from tickplant.errors import FatalError
from tickplant.redis_client import open_redis
from tickplant.redis_errors import is_transient
from tickplant.redis_exchange import Script, parse_streams

Answer = Callable[[list[bytes], asyncio.StreamWriter], Awaitable[None]]

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """Run a server that a test scripts, once a connection is set up."""
    hello = b"*4\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if words[0] in (b"HELLO", b"CLIENT"):
                    writer.write(hello if words[0] == b"HELLO" else b"+OK\r\n")
                else:
                    await answer(words, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 26)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def test_answers_come_in_order_and_refusals_among_them(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        answers = await redis.try_exchange(
            ("SET", "a", "1"), ("LPUSH", "a", "2"), ("GET", b"a"), ("XREAD", "STREAMS", "none", "0")
        )
        assert answers[0] == b"OK"
        assert isinstance(answers[1], ResponseError)
        assert answers[2:] == [b"1", None]
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await redis.exchange(("LPUSH", "a", "2"), ("GET", "a"))


async def test_entries_are_those_of_the_library(redis_url: str) -> None:
    async with open_redis(redis_url) as client:
        redis: Any = client
        for number in range(3):
            await redis.xadd("s", {"number": number, b"\xff": b"\r\n"})
        (answer,) = await redis.exchange(("XREAD", "STREAMS", "s", "t", "0", "0"))
        assert [list(stream) for stream in parse_streams(answer)] == await redis.xread({"s": 0, "t": 0})
        assert parse_streams(None) == []


async def test_a_script_runs_by_its_text_where_the_server_lacks_it(redis_url: str) -> None:
    async with open_redis(redis_url) as client:
        redis: Any = client
        await redis.script_flush()
        assert await redis.exchange((ADD, 1, "n", 2), ("PING",)) == [2, b"PONG"]
        assert await redis.exchange((ADD, 1, "n", 3)) == [5]
        assert (await redis.info("commandstats"))["cmdstat_eval"]["calls"] >= 1
        await redis.set("n", "text")
        with pytest.raises(ResponseError, match="not an integer"):
            await redis.exchange((ADD, 1, "n", 3))


async def test_a_cancelled_exchange_leaves_no_answer_behind(redis_url: str) -> None:
    async with open_redis(redis_url, timeout_s=600) as client:
        redis: Any = client
        waiting = asyncio.create_task(redis.exchange(("BLPOP", "list", 0)))

        async def blocked() -> bool:
            return int((await redis.info("clients"))["blocked_clients"]) == 1

        await until(blocked, "a read that waits")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async def gone() -> bool:
            return not await blocked()

        await until(gone, "the end of its connection")
        await redis.rpush("list", "kept")
        assert await redis.exchange(("ECHO", "mine"), ("LRANGE", "list", 0, -1)) == [b"mine", [b"kept"]]


async def test_concurrent_exchanges_get_their_own_answers(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:

        async def echo(number: int) -> None:
            for turn in range(20):
                words = f"{number}.{turn}", "x" * (number * 1_000)
                answers = await redis.exchange(*[("ECHO", word) for word in words])
                assert answers == [word.encode() for word in words]

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(echo(number))


async def test_large_exchanges(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        payload = b"x" * 4_000_000
        answers = await redis.exchange(
            *[("SET", f"k{number}", payload) for number in range(8)], ("GET", "k7")
        )
        assert answers == [b"OK"] * 8 + [payload]


async def test_a_digest_that_the_server_does_not_know_is_refused(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        answers = await redis.try_exchange(("EVALSHA", "none", 0), ("ECHO", "next"))
        assert isinstance(answers[0], NoScriptError)
        assert answers[1] == b"next"


async def test_other_connections_to_a_server_that_hangs_are_not_used_again() -> None:
    async def hang(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        if words[1] == b"hang":
            await asyncio.sleep(60)
        writer.write(b"$%d\r\n%s\r\n" % (len(words[1]), words[1]))

    async with answering(hang) as url, open_redis(url, timeout_s=1) as redis:
        await asyncio.gather(*[redis.exchange(("ECHO", "first")) for _ in range(3)])
        assert len(redis._exchanges._idle) == 3
        with pytest.raises(RedisTimeoutError):
            await redis.exchange(("ECHO", "hang"))
        assert redis._exchanges._idle == []


async def test_a_server_that_hangs_times_out_and_its_late_answer_is_not_read() -> None:
    async def late(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        if words[1] == b"late":
            await asyncio.sleep(1.5)
        writer.write(b"$%d\r\n%s\r\n" % (len(words[1]), words[1]))

    async with answering(late) as url, open_redis(url, timeout_s=1) as redis:
        assert await redis.exchange(("ECHO", "first")) == [b"first"]
        with pytest.raises(RedisTimeoutError) as refusal:
            await redis.exchange(("ECHO", "late"))
        assert is_transient(refusal.value)
        for _ in range(5):
            assert await redis.exchange(("ECHO", "next")) == [b"next"]
            await asyncio.sleep(0.15)


async def test_a_server_that_reads_nothing_times_out_and_holds_no_memory() -> None:
    async def hang(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with answering(hang) as url, open_redis(url, timeout_s=1) as redis:
        with pytest.raises(RedisTimeoutError):
            await redis.exchange(*[("ECHO", b"x" * 1_000_000)] * 64)
        assert redis._exchanges._idle == []
        assert not redis._exchanges._used


async def test_connections_of_a_burst_are_closed_once_they_have_not_been_used_for_long(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_redis(redis_url) as redis:

        async def ask() -> None:
            await redis.exchange(("PING",))

        await asyncio.gather(*(ask() for _ in range(50)))
        opened = len(redis._exchanges._idle)
        assert opened > 1
        await ask()
        assert len(redis._exchanges._idle) == opened
        monkeypatch.setattr("tickplant.redis_exchange._IDLE_S", 0.0)
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while loop.time() <= last_s:  # noqa: ASYNC110 - the clock of the loop stands still in a turn of it
            await asyncio.sleep(0)
        await ask()
        assert len(redis._exchanges._idle) == 1


async def test_an_answer_that_came_while_this_process_was_busy_is_read(redis_url: str) -> None:
    loop = asyncio.get_running_loop()
    reading, writing = socket.socketpair()
    with reading, writing:
        async with open_redis(redis_url, timeout_s=0.5) as redis:
            assert await redis.exchange(("PING",)) == [b"PONG"]

            def be_busy() -> None:  # where a loop reads sockets, which is before it looks at its timers
                loop.remove_reader(reading)
                time.sleep(1)

            loop.add_reader(reading, be_busy)
            asking = asyncio.create_task(redis.exchange(("BLPOP", "list", "0.2")))
            await asyncio.sleep(0)
            writing.send(b"x")
            assert await asking == [None]


async def test_an_answer_may_take_longer_than_the_time_limit_while_it_arrives() -> None:
    async def slow(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        for part in (b"$", b"4\r\n", b"sl", b"ow", b"\r\n"):
            writer.write(part)
            await asyncio.sleep(0.3)

    async with answering(slow) as url, open_redis(url, timeout_s=1) as redis:
        assert await redis.exchange(("ECHO", "slow")) == [b"slow"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", InvalidResponse),
        (b"+OK\r\n+OK\r\n", InvalidResponse),
        (b"+OK\r\n$1", InvalidResponse),
        (b"-LOADING Redis is loading the dataset in memory\r\n", BusyLoadingError),
        (b"-NOAUTH Authentication required.\r\n", AuthenticationError),
        (b"$5\r\nhal", RedisConnectionError),
        (b"", RedisConnectionError),
    ],
)
async def test_a_wrong_answer_is_an_error_and_the_connection_is_replaced(
    answer: bytes, error: type[RedisError]
) -> None:
    async def wrong(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(answer if words[1] == b"wrong" else b"+right\r\n")
        if error is RedisConnectionError and words[1] == b"wrong":
            writer.close()

    async with answering(wrong) as url, open_redis(url) as redis:
        with pytest.raises(error):
            await redis.exchange(("ECHO", "wrong"))
        assert await redis.exchange(("ECHO", "next")) == [b"right"]


async def test_what_nobody_asked_for_replaces_the_connection() -> None:
    connections = set()

    async def chatty(words: list[bytes], writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        writer.write(b"+%s\r\n" % words[1])
        await writer.drain()
        await asyncio.sleep(0.05)
        if len(connections) == 1:
            writer.write(b"+unasked\r\n")

    async with answering(chatty) as url, open_redis(url) as redis:
        assert await redis.exchange(("ECHO", "1")) == [b"1"]
        (connection,) = redis._exchanges._idle

        async def closed() -> bool:
            return not connection.is_open

        await until(closed, "its connection is closed")
        assert await redis.exchange(("ECHO", "2")) == [b"2"]
        assert len(connections) == 2


async def test_an_idle_connection_that_the_server_has_closed_is_not_used(own_redis: OwnRedis) -> None:
    server = await own_redis()
    async with open_redis(server.url) as redis:
        assert await redis.exchange(("PING",)) == [b"PONG"]
        await server.kill()
        with pytest.raises(RedisConnectionError):
            await redis.exchange(("PING",))
        await server.start()
        assert await redis.exchange(("PING",)) == [b"PONG"]


async def test_the_login_the_database_and_a_unix_socket_are_those_of_the_address(server_folder: Path) -> None:
    binary = next(iter(REDIS.values()))
    socket = server_folder / "s"
    lines = (f'unixsocket "{socket}"', "user few on >secret ~* &* +@all -@dangerous -set")
    async with running(RedisOf(server_folder / "unix", binary, *lines)):
        async with open_redis(f"unix://few:secret@{socket}?db=3&client_name=plant") as redis:
            answers = await redis.exchange(("CLIENT", "GETNAME"), ("ACL", "WHOAMI"), ("HSET", "h", "f", "v"))
            assert answers == [b"plant", b"few", 1]
            assert b" db=3 " in (await redis.exchange(("CLIENT", "INFO")))[0]
            with pytest.raises(NoPermissionError):
                await redis.exchange(("SET", "a", "1"))
        async with open_redis(f"unix://few:wrong@{socket}") as redis:
            with pytest.raises(FatalError, match="refuses the login"):
                await redis.exchange(("PING",))
