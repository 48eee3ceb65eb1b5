"""Exchanges with Redis on hot paths: commands in one write, answers parsed by hiredis, no task or timer each.

redis-py opens the connections, so addresses, TLS, logins and time limits are those of all other commands, and
errors are its own. Once a connection is open, the exchange takes over its transport.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final

import hiredis
from redis.asyncio.connection import ConnectionPool, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, MasterDownError, NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Script:
    """A Lua script, sent by its digest; by its text to a server that doesn't have it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


Command = Sequence[Any]
"""The words of a command: str, bytes, int or float.

For a script: the `Script`, the number of keys, the keys, the arguments.
"""

StreamEntries = list[tuple[bytes, dict[bytes, bytes]]]
"""Ids and fields."""

_IDLE_S: Final = 30.0
"""How long a connection stays open unused: a burst of requests opens as many as it needs."""
_UNREAD_S: Final = 0.002
"""After this much more time the loop has read what has arrived: its timers come before its sockets."""
_INCOMPLETE: Final = object()
_UNREADY: Final = (RedisConnectionError, MasterDownError, ReadOnlyError)
"""Refusals by a server that is not, or no longer, the one to talk to: the next exchange opens a connection,
which may lead to another server."""
_pack: Any = hiredis.pack_command


class _Connection(asyncio.Protocol):
    """An open connection for one exchange at a time. After any error or cancellation it is closed."""

    def __init__(self, opened: Any, timeout_s: float | None) -> None:
        """Take over a connection.

        Args:
            opened: redis-py's connection, with nothing left to read.
            timeout_s: the longest wait for an answer, or for the next part of one.
        """
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._timeout_s = timeout_s
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._answers: list[Any] = []
        self._expected = 0
        self._waiter: asyncio.Future[list[Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._overdue = False
        self.idle_since_s = 0.0
        """By the clock of the event loop."""
        self._transport: asyncio.Transport = opened._writer.transport
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether another exchange is possible."""
        return not self._transport.is_closing()

    async def exchange(self, packed: bytes, expected: int) -> list[Any]:
        """Send commands and return that many answers; refusals are among them, as exceptions.

        Raises:
            RedisConnectionError: the connection was lost, or the server is not ready.
            RedisTimeoutError: the server did not answer in time.
            InvalidResponse: what it sent is not Redis' protocol, or more than was asked for.
        """
        waiter: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiter = waiter
        self._expected = expected
        self._note_progress()
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._loop.call_at(self._deadline_s, self._check_deadline)
        try:
            self._transport.write(packed)
            return await waiter
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close at once: an answer that is still under way must not be taken for another's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._opened._close()

    def data_received(self, data: bytes) -> None:
        waiter, answers, replies = self._waiter, self._answers, self._replies
        if waiter is None:  # nothing was asked for
            self.close()
            return
        try:
            replies.feed(data)
            while (answer := replies.gets()) is not _INCOMPLETE:
                answers.append(answer)
        except InvalidResponse as error:
            self._fail(error)
            return
        if len(answers) < self._expected:
            self._note_progress()
        elif len(answers) > self._expected or replies.has_data():
            self._fail(InvalidResponse("Redis has sent more answers than commands were sent"))
        elif unready := [answer for answer in answers if isinstance(answer, _UNREADY)]:
            refusal = unready[0]
            if not isinstance(refusal, RedisConnectionError):
                refusal = RedisConnectionError(f"the server takes no commands now: {refusal}")
            self._fail(refusal)
        else:
            self._waiter, self._answers = None, []
            if not waiter.done():
                waiter.set_result(answers)

    def resume_writing(self) -> None:
        self._note_progress()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(RedisConnectionError(f"the connection to Redis was lost: {exc or 'closed by the server'}"))

    def _note_progress(self) -> None:
        self._overdue = False
        if self._timeout_s is not None:
            self._deadline_s = self._loop.time() + self._timeout_s

    def _check_deadline(self) -> None:
        """Fail if the deadline has passed and nothing is left to read; otherwise look again later."""
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._check_deadline)
        elif not self._overdue:  # the answer may be there, unread, if this process has been paused
            self._overdue = True
            self._timer = self._loop.call_later(_UNREAD_S, self._check_deadline)
        else:
            self._fail(RedisTimeoutError("timeout reading from Redis"))

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # its task may have been cancelled, and never ask


class Exchanges:
    """Open connections for exchanges: as many as there were at the same time in the last half minute."""

    def __init__(self, pool: ConnectionPool) -> None:
        """Open connections as a pool does, which stays the caller's."""
        self._pool: Any = pool
        self._timeout_s: float | None = pool.connection_kwargs.get("socket_timeout")
        self._idle: list[_Connection] = []
        self._used: set[_Connection] = set()

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one write; return the answers in order, with refusals among them as exceptions.

        Answers are as the server gives them: bytes, int, list or None. A script that the server doesn't have
        yet runs after the other commands. Commands are not repeated; on an error or a cancellation it is
        unknown which were carried out.

        Raises:
            RedisError: one that `RedisClient` raises for the same reason.
        """
        packed = [
            _pack(("EVALSHA", words[0].digest, *words[1:]) if isinstance(words[0], Script) else tuple(words))
            for words in commands
        ]
        answers = await self._exchange(b"".join(packed), len(packed))
        for index, answer in enumerate(answers):
            if isinstance(answer, NoScriptError) and isinstance(commands[index][0], Script):
                script, *rest = commands[index]
                (answers[index],) = await self._exchange(_pack(("EVAL", script.source, *rest)), 1)
        return answers

    def close(self) -> None:
        """Close all connections; exchanges under way fail."""
        for connection in self._used:
            connection.close()
        self._close_idle()

    async def _exchange(self, packed: bytes, expected: int) -> list[Any]:
        connection = self._take_idle() or await self._connect()
        self._used.add(connection)
        try:
            answers = await connection.exchange(packed, expected)
        except RedisTimeoutError:
            self._close_idle()  # they lead to where nobody answers, too
            raise
        finally:
            self._used.remove(connection)
        self._idle.append(connection)
        self._close_unused(connection)
        return answers

    def _close_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _close_unused(self, last: _Connection) -> None:
        """Close the connections that have been idle for long; the last one used is taken first."""
        last.idle_since_s = now_s = asyncio.get_running_loop().time()
        while now_s - self._idle[0].idle_since_s > _IDLE_S:
            self._idle.pop(0).close()

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> _Connection:
        opened: Any = self._pool.make_connection()
        await opened.connect()
        if await opened.can_read():  # it does not wait
            opened._close()
            raise RedisConnectionError("Redis has closed the connection, or sent what nobody asked for")
        return _Connection(opened, self._timeout_s)


def parse_streams(answer: Any) -> list[tuple[bytes, StreamEntries]]:
    """Return the streams and entries of an answer to XREAD or XREADGROUP; none after a timeout."""
    return [
        (
            stream,
            [(entry_id, dict(zip(fields[::2], fields[1::2], strict=True))) for entry_id, fields in entries],
        )
        for stream, entries in answer or ()
    ]
