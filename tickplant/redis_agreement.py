"""What all processes on one Redis have to agree on: the number of partitions, and where trades come from."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from tickplant.errors import FatalError
from tickplant.former_keys import FORMER_COUNT, former_keys, move_former_keys, parse_former_count
from tickplant.provenance import SOURCE_DESCRIPTIONS, require_same
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import is_wrong_type
from tickplant.redis_exchange import Command
from tickplant.redis_values import RedisValues
from tickplant.streams import PARTITIONS, SERVERS, SOURCE

_T = TypeVar("_T")

_MOST_DIGITS: Final = 9

_values: Final = RedisValues()

# KEYS: key. ARGV: its odd value, the value to write instead.
_REPLACE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""


async def agree_on_partitions(redis: RedisClient, partitions: int) -> None:
    """Make sure that all processes on this Redis count the same partitions; the first one decides.

    What a former version left under other names is moved.

    Raises:
        FatalError: another number is in use.
    """
    commands: list[Command] = [("GET", PARTITIONS), ("GET", FORMER_COUNT)]
    if not redis.sharded:  # former versions had one server
        commands += [("HGETALL", SERVERS), ("EXISTS", *former_keys(partitions))]
    held, count, *others = await redis.try_exchange(*commands)
    if others:
        _refuse_several_servers(others[0])
    former = _values.read(FORMER_COUNT, "", parse_former_count(count), parse_partitions)
    if former is not None and redis.sharded:
        raise FatalError(
            "what is in Redis was written by a former version, which had one server: start this version once"
            " with its address alone, which moves it"
        )
    if held != str(partitions).encode():
        agreed = await _agree(redis, PARTITIONS, str(former or partitions), parse_partitions)
        if agreed is not None and agreed != partitions:
            raise FatalError(
                f"TICKPLANT_PARTITIONS is {partitions}, but what is in Redis was written with {agreed}:"
                " set the same number everywhere"
            )
    if others:
        await move_former_keys(redis, partitions, count=count, held=others[1])


def _refuse_several_servers(answer: Any) -> None:
    """Raise FatalError where the server has some partitions only, by its answer to HGETALL."""
    if isinstance(answer, Exception):  # another program's key
        return
    places = dict(zip(answer[::2], answer[1::2], strict=True))
    is_first = places.pop(b"new", None) is not None
    names = sorted({place.decode(errors="replace") for place in places.values()})
    if b"first" not in places:  # likewise
        return
    first = places[b"first"].decode(errors="replace")
    if len(names) > 1 or (names and not is_first):
        raise FatalError(
            "partitions are on several servers of Redis: name all in TICKPLANT_REDIS_URL, first"
            f" {first}, also {', '.join(name for name in names if name != first)}"
        )


def parse_partitions(payload: bytes) -> int:
    """Return the number of partitions that is recorded in Redis.

    Raises:
        ValueError: it is no such number.
    """
    if not payload.isdigit() or len(payload) > _MOST_DIGITS or int(payload) == 0:
        raise ValueError(f"{payload[:40]!r} is no number of partitions")
    return int(payload)


async def claim_redis_source(redis: RedisClient, source: str) -> None:
    """Note where the trades come from that are going to be written, before the first of them is.

    Raises:
        MixedSourcesError: Redis holds trades from elsewhere.
    """
    require_same(await _agree(redis, SOURCE, source, _parse_source), source, where="Redis")


async def read_redis_source(redis: RedisClient) -> str | None:
    """Return the source of the trades in the streams; None if none is recorded yet, or none that is known."""
    try:
        held: Any = await redis.get(SOURCE)
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        _values.note_refused(SOURCE, error)
        return None
    return _values.read(SOURCE, "", held, _parse_source)


def _parse_source(payload: bytes) -> str:
    source = str(payload, "utf-8", "replace")
    if source not in SOURCE_DESCRIPTIONS:
        raise ValueError(f"{source[:40]!r} is no source of trades")
    return source


async def _agree(redis: RedisClient, key: str, value: str, parse: Callable[[bytes], _T]) -> _T | None:
    """Write a value unless there is one already, and return what is there then.

    A value that `parse` refuses is replaced. None if the key holds another type: it is left alone.
    """
    # The option GET of SET needs Redis 7.
    answers = await redis.try_exchange(("SET", key, value, "NX"), ("GET", key))
    for answer in answers:
        if is_wrong_type(answer):
            _values.note_refused(key, answer)
            return None
        if isinstance(answer, Exception):
            raise answer
    held: Any = answers[-1]
    agreed = _values.read(key, "", held, parse)
    if agreed is None:
        replaced: Any = await redis.eval(_REPLACE, 1, key, held or b"", value)
        agreed = parse(replaced)
    return agreed
