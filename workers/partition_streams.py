"""A partition's streams for its owner: reads input, publishes live updates and results, trims.

Every write is refused to a former owner: Redis keeps the epoch that may write.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.exceptions import ResponseError

from db.leases import Lease
from tickplant import metrics, wire
from tickplant.dead_letters import keep_dead_letter
from tickplant.derived import signal_view
from tickplant.errors import LeaseLostError
from tickplant.market import Gap, Trade
from tickplant.redis_client import RedisClient
from tickplant.streams import (
    GAPS,
    HELD,
    MIRROR_RESULTS,
    MIRROR_TRADES,
    PRICES,
    START,
    UNIFIED,
    entry_order,
    group_name,
    live_stream,
    owner_key,
    results_stream,
    signals_stream,
    trades_stream,
    unified_stream,
)
from workers.rejections import Rejection
from workers.strategies.runner import StrategyFailure
from workers.trimming import Entry, Trimmer

_LIVE_BYTES: Final = 16 * 1024 * 1024
"""About how many bytes of live updates a partition keeps for clients that reconnect."""
_LIVE_ENTRIES: Final = (64, 10_000)

# KEYS: owner hash, input stream. ARGV: epoch, group, committed entry, prefix of the role's groups.
# Destroys the groups of former owners, so that one that resumes reads nothing, and creates a group at the
# committed entry. Where Redis was restored with less than was committed, new entries still get greater ids.
_TAKE: Final = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch > tonumber(ARGV[1]) then return redis.error_reply('FENCED by epoch ' .. epoch) end
if redis.call('EXISTS', KEYS[2]) == 1 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
        local name = group[2]
        if string.sub(name, 1, #ARGV[4]) == ARGV[4] then redis.call('XGROUP', 'DESTROY', KEYS[2], name) end
    end
end
redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[2], ARGV[3], 'MKSTREAM')
local info = redis.call('XINFO', 'STREAM', KEYS[2])
local last
for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
local function parts(id)
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    return tonumber(ms), tonumber(seq)
end
local last_ms, last_seq = parts(last)
local ms, seq = parts(ARGV[3])
if last_ms < ms or (last_ms == ms and last_seq < seq) then redis.call('XSETID', KEYS[2], ARGV[3]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return redis.call('HMGET', KEYS[1], 'published', 'told')
"""

# Lua's stack holds some 8,000 values, so that many symbols go out in parts.
# KEYS: owner hash, live stream, prices. ARGV: epoch, published entry, entries kept, update, then symbols,
# each with its price.
_PUBLISH: Final = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED') end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'u', ARGV[4])
for i = 5, #ARGV, 1000 do redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'published', ARGV[2]) end
"""

# KEYS: owner hash, live stream, signals, unified stream, unified hash; where there is something to mirror to
# Kafka also results and their mirror's owner hash. ARGV: epoch, committed entry, live updates kept, update,
# entries kept of the other streams, number of signals, these, then symbols, each with its unified state.
_PUBLISH_RESULTS: Final = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED') end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'u', ARGV[4])
local first = 7 + tonumber(ARGV[6])
for i = 7, first - 1 do redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'signal', ARGV[i]) end
for i = first, #ARGV, 1000 do
    local last = math.min(i + 999, #ARGV)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', unpack(ARGV, i, last))
    redis.call('HSET', KEYS[5], unpack(ARGV, i, last))
end
if KEYS[6] and redis.call('HEXISTS', KEYS[7], 'confirmed') == 1 then
    redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[5], '*', 'u', ARGV[4])
end
redis.call('HSET', KEYS[1], 'told', ARGV[2])
"""
# KEYS: owner hash, gaps. ARGV: epoch, then symbols, each with its gaps; empty for one that has none.
_WRITE_GAPS: Final = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return redis.error_reply('FENCED') end
for i = 2, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[2], ARGV[i])
    else
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
end
"""
_RESULT_ENTRIES: Final = 10_000
"""About how many signals, unified updates, and updates to be mirrored, a partition keeps for consumers."""


_LETTER_TRADES: Final = 100
"""So many trades fit into a dead letter whole."""


class PublishedPosition(NamedTuple):
    """How far former owners have published."""

    published: str
    """The entry up to which trades have been published; later than the committed one after a crash."""
    told: str
    """The last committed entry whose results have been published."""


class PartitionStreams:
    """One owner's access to the streams of its partition."""

    def __init__(self, redis: RedisClient, lease: Lease) -> None:
        """Take an open client, which stays the caller's, and the lease."""
        self._redis = redis
        self._lease = lease
        self._stream = trades_stream(lease.partition)
        self._live = live_stream(lease.partition)
        self._owner = owner_key(lease.role, lease.partition)
        self._group = group_name(lease.role, lease.epoch)
        self._trimmer = Trimmer(redis, lease)
        self._mean_bytes = 1_000.0

    async def rewind(self, entry_id: str) -> None:
        """Read on from after an entry, which is committed.

        Raises:
            LeaseLostError: a later owner has taken the partition.
        """
        await self._take(entry_id)
        self._trimmer = Trimmer(self._redis, self._lease)

    async def take(self) -> PublishedPosition:
        """Become the owner in Redis, too.

        Raises:
            LeaseLostError: a later owner was here first.
        """
        return await self._take(self._lease.entry_id)

    async def _take(self, entry_id: str) -> PublishedPosition:
        take: Any = self._redis.register_script(_TAKE)
        prefix = group_name(self._lease.role, 0)[:-1]
        try:
            reached = await take(
                keys=[self._owner, self._stream], args=[self._lease.epoch, self._group, entry_id, prefix]
            )
        except ResponseError as error:
            raise _fenced(error) from error
        return PublishedPosition(*[entry_id.decode() if entry_id else START for entry_id in reached])

    async def publish_and_read(
        self, update: wire.LiveUpdate | None, published: str, *, count: int, block_ms: int
    ) -> list[Entry]:
        """Publish what has changed, and wait for the next entries, in one exchange with Redis.

        Entries are not kept pending in the group: what is not committed is read again by the next owner,
        whose group starts at the committed entry.

        Args:
            update: the change; it is published at once, before the wait.
            published: the last input entry whose trades have been published with it.
            count: the most entries to return.
            block_ms: the longest wait.

        Returns:
            Entries, in order; none if none came in time.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was published.
        """
        pipeline = self._redis.pipeline(transaction=False)
        if update is not None:
            pipeline.eval(*self._publish_command(update, published))
        pipeline.xreadgroup(
            self._group, self._lease.owner, {self._stream: ">"}, count=count, block=block_ms, noack=True
        )
        answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise _fenced(answer) from answer
            if isinstance(answer, Exception):
                raise answer
        if not answers[-1]:
            return []
        ((_, found),) = answers[-1]
        entries = [(entry_id.decode(), fields) for entry_id, fields in found]
        self._trimmer.note_read(entries)
        return entries

    async def publish(self, update: wire.LiveUpdate, published: str = "") -> None:
        """Publish what has changed; as `publish_and_read` does, without the wait.

        Args:
            update: the change.
            published: as there; empty where the update holds no trades.
        """
        try:
            await self._redis.eval(*self._publish_command(update, published))
        except ResponseError as error:
            raise _fenced(error) from error

    def _publish_command(self, update: wire.LiveUpdate, published: str) -> list[Any]:
        payload = wire.encode_update(update)
        keys = [self._owner, self._live, PRICES]
        command = [_PUBLISH, len(keys), *keys, self._lease.epoch, published, self._kept(payload), payload]
        for price in update.prices:
            command += f"{price.venue}:{price.symbol}", wire.encode_trade(price)
        return command

    def _kept(self, payload: bytes) -> int:
        """Return how many live updates to keep, as large as they are."""
        self._mean_bytes += (len(payload) - self._mean_bytes) / 32
        return min(max(int(_LIVE_BYTES / self._mean_bytes), _LIVE_ENTRIES[0]), _LIVE_ENTRIES[1])

    async def publish_results(self, update: wire.LiveUpdate, committed: str) -> None:
        """Publish what has been committed: live, and in the streams of signals, unified updates and results.

        Args:
            update: the results.
            committed: the entry up to which it goes.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was published.
        """
        partition = self._lease.partition
        keys = [self._owner, self._live, signals_stream(partition), unified_stream(partition), UNIFIED]
        if update.candles or update.signals or update.firings:
            keys += results_stream(partition), owner_key(MIRROR_RESULTS, partition)
        payload = wire.encode_update(update)
        signals = [msgspec.json.encode(signal_view(signal)) for signal in update.signals]
        arguments: list[Any] = [self._lease.epoch, committed, self._kept(payload), payload]
        arguments += _RESULT_ENTRIES, len(signals), *signals
        for unified in update.unified:
            arguments += unified.symbol, msgspec.json.encode(unified)
        try:
            await self._redis.eval(_PUBLISH_RESULTS, len(keys), *keys, *arguments)
        except ResponseError as error:
            raise _fenced(error) from error

    async def write_open_gaps(self, gaps: dict[tuple[str, str], list[Gap]]) -> None:
        """Publish open gaps to ingest; an empty list removes those of a symbol.

        Raises:
            LeaseLostError: a later owner has taken the partition; nothing was written.
        """
        arguments: list[Any] = [self._lease.epoch]
        for (venue, symbol), members in gaps.items():
            arguments += f"{venue}:{symbol}", wire.encode_gaps(members) if members else b""
        try:
            await self._redis.eval(_WRITE_GAPS, 2, self._owner, GAPS, *arguments)
        except ResponseError as error:
            raise _fenced(error) from error

    async def trim(self, entry_id: str) -> None:
        """Trim entries before a committed one, unless a mirror to Kafka still needs them."""
        await self._trimmer.trim(entry_id)

    async def keep_dead_letter(self, entry: Entry, reason: str) -> None:
        """Keep an entry that could not be understood, for inspection."""
        entry_id, fields = entry
        payload = {b"payload." + name: value for name, value in fields.items()}
        await keep_dead_letter(
            self._redis, source=f"{self._stream} {entry_id}", reason=reason, payload=payload
        )

    async def keep_rejections(self, rejections: Sequence[Rejection]) -> None:
        """Keep trades that are not stored, for inspection."""
        if not rejections:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for it in rejections:
            await keep_dead_letter(
                pipeline,
                source=f"{self._stream} {it.entry_id}",
                reason=it.reason,
                payload={b"payload." + wire.TRADES: it.payload},
            )
        await pipeline.execute()

    async def keep_unstorable(self, entry_id: str, trades: Sequence[Trade], reason: str) -> None:
        """Keep trades of an entry that the database refuses, for inspection."""
        metrics.WORKER_UNSTORABLE.labels(self._lease.role).inc(len(trades))
        for start in range(0, len(trades), _LETTER_TRADES):
            payload = wire.encode_trades(trades[start : start + _LETTER_TRADES])
            await self.keep_dead_letter((entry_id, {wire.TRADES: payload}), f"not storable: {reason}")

    async def keep_failure(self, failure: StrategyFailure) -> None:
        """Keep the traceback of a failed strategy, for inspection."""
        source = f"strategy {failure.strategy} of {failure.venue}:{failure.symbol}"
        payload = {b"payload.traceback": failure.traceback.encode()}
        await keep_dead_letter(self._redis, source=source, reason=failure.reason, payload=payload)

    async def lag(self) -> int:
        """Return how many entries the stream holds after the group's position.

        Until a group that began in the middle of the stream has come to its end, and before version 7, Redis
        doesn't know: then it is all entries but those held for a mirror to Kafka.
        """
        for group in await self._redis.xinfo_groups(self._stream):
            if group["name"].decode() == self._group:
                lag = group.get("lag")
                return await self._most_lag() if lag is None else int(lag)
        return 0

    async def _most_lag(self) -> int:
        held = await self._redis.hget(owner_key(MIRROR_TRADES, self._lease.partition), HELD)
        return await self._redis.xlen(self._stream) - int(held or 0)


def later(a: str, b: str) -> str:
    """Return the later of two entry ids."""
    return a if entry_order(a) >= entry_order(b) else b


def _fenced(error: ResponseError) -> Exception:
    """Turn the refusals that mean another owner into that; leave other errors as they are."""
    text = str(error)
    if text.startswith(("FENCED", "NOGROUP", "UNBLOCKED")) or "FENCED" in text:
        return LeaseLostError(text)
    return error
