"""`tickplant doctor`: checks that services can use Redis, without changing anything."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from msgspec import structs
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tickplant.cli.finding import Finding, judge_clock
from tickplant.clock import least_skew_s
from tickplant.errors import FatalError
from tickplant.local import RedisServer
from tickplant.local.data_folder import folder_in_use
from tickplant.redis_agreement import parse_partitions, read_redis_source
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_errors import OUTAGE, is_wrong_type
from tickplant.settings import Settings
from tickplant.streams import PARTITIONS, gaps_key, owner_key, prices_key, trades_stream
from tickplant.taken_keys import REMEDY

SKEW_S: Final = 1.0
"""A clock that is off by more is worth knowing of. Nothing breaks: leases go by the database's clock."""

_STREAM: Final = trades_stream(0)
_OWNER: Final = owner_key("doctor", 0)
"""An owner key that no role uses."""
_BAD: Final = "none"
"""In place of a number or an entry id: the server refuses it after checking permissions."""

PROBES: Final[tuple[tuple[str, ...], ...]] = (
    ("DEL", _OWNER),
    ("EVAL", "return 1", "1", _STREAM),
    ("EVALSHA", _BAD, "1", _STREAM),
    ("EXISTS", _STREAM),
    ("GET", PARTITIONS),
    ("HDEL", _OWNER, _BAD),
    ("HEXISTS", gaps_key(0), _BAD),
    ("HGET", gaps_key(0), _BAD),
    ("HGETALL", _OWNER),
    ("HKEYS", _OWNER),
    ("HMGET", prices_key(0), _BAD),
    ("HSET", _OWNER, "a", "b", "no value"),
    ("MEMORY", "USAGE", _STREAM),
    ("PEXPIRE", _OWNER, _BAD),
    ("PTTL", _OWNER),
    ("RENAME", _OWNER, _OWNER),
    ("SCRIPT", "EXISTS", _BAD),
    ("SCRIPT", "LOAD", "return 1"),
    ("SET", PARTITIONS, "0", "NX", "XX"),
    ("TIME",),
    ("TYPE", _STREAM),
    ("XADD", _STREAM, _BAD, "a", "b"),
    ("XGROUP", "CREATE", _STREAM, "doctor", _BAD),
    ("XGROUP", "DESTROY", _STREAM, "doctor"),
    ("XINFO", "GROUPS", _STREAM),
    ("XINFO", "STREAM", _STREAM),
    ("XLEN", _STREAM),
    ("XRANGE", _STREAM, "-", "+", "COUNT", "1"),
    ("XREAD", "COUNT", "1", "STREAMS", _STREAM, "$"),
    ("XREADGROUP", "GROUP", "doctor", "doctor", "STREAMS", _STREAM, ">"),
    ("XREVRANGE", _STREAM, "+", "-", "COUNT", "1"),
    ("XSETID", _STREAM, _BAD),
    ("XTRIM", _STREAM, "MAXLEN", _BAD),
)
"""Each command that the roles send, in a form that changes nothing."""


async def check_redis(settings: Settings) -> list[Finding]:
    """Report whether the roles can use Redis, and whether acknowledged writes are durable."""
    try:
        url = _address(settings)
        if url is None:
            return [
                Finding("ok", "redis", f"not running; `tickplant up` starts {_server(settings).description}")
            ]
        client = open_redis(url, timeout_s=5)
    except FatalError as error:
        return [Finding("fail", "redis", str(error))]
    try:
        servers = await client.servers()
        shared = await _check_shared(client, settings)
        found = await asyncio.gather(*[_check_server(name, server) for name, server in servers.items()])
        return [finding for part in found for finding in part] + shared
    except FatalError as error:
        return [Finding("fail", "redis", str(error))]
    except (RedisError, OSError) as error:
        return [_unreachable(error)]
    finally:
        await client.aclose()


async def received_source(settings: Settings) -> str | None:
    """Return the source of the trades that the plant receives; None if it is unknown."""
    try:
        url = _address(settings)
        if url is None:
            return None
        client = open_redis(url, timeout_s=5)
    except FatalError:
        return None
    try:
        return await read_redis_source(client.shared)
    except (FatalError, RedisError, OSError):
        return None  # `check_redis` reports it
    finally:
        await client.aclose()


def _server(settings: Settings) -> RedisServer:
    return RedisServer(folder_in_use(settings) / "redis", source=settings.embedded_servers)


def _address(settings: Settings) -> str | None:
    """Return the address of the server; None if the embedded one does not run.

    Raises:
        FatalError: embedded servers run on several folders.
    """
    if settings.redis_url:
        return settings.redis_url
    server = _server(settings)
    return server.url if server.folder.is_locked() else None


async def _check_shared(client: RedisClient, settings: Settings) -> list[Finding]:
    try:
        finding = await _check_partitions(client.shared, settings)
    except OUTAGE:  # its server is reported
        return []
    return [finding] if finding else []


async def _check_server(name: str, server: RedisClient) -> list[Finding]:
    """Inspect one server; of several, findings have its name."""
    found: list[Finding] = []
    try:
        async for finding in _inspect(server):
            found.append(finding)  # noqa: PERF401 - they count up to an error
    except FatalError as error:
        found.append(Finding("fail", "redis", str(error)))
    except (RedisError, OSError) as error:
        found.append(_unreachable(error))
    if not name:
        return found
    return [structs.replace(finding, text=f"{name}: {finding.text}") for finding in found]


def _unreachable(error: Exception) -> Finding:
    remedy = "start the server, and check TICKPLANT_REDIS_URL: host, port, password, firewall"
    return Finding("fail", "redis", f"can't be reached: {error}", remedy)


async def _inspect(client: RedisClient) -> AsyncIterator[Finding]:
    before_s = time.time()
    seconds, microseconds = await client.time()
    theirs_s = seconds + microseconds / 1e6
    skew_s = least_skew_s(theirs_s, theirs_s, before_s, time.time())
    yield Finding("ok", "redis", f"{await _product(client)} answers")
    yield await _check_rights(client)
    config = {name: await _read_config(client, name) for name in ("appendonly", "appendfsync")}
    yield _judge_durability(config)
    policy, limit = await _read_config(client, "maxmemory-policy"), await _read_config(client, "maxmemory")
    if policy not in ("noeviction", None):
        text = f"maxmemory-policy is {policy}: trades can be evicted before they are stored"
        level: Literal["warn", "fail"] = "fail"
        if limit == "0":
            level, text = "warn", f"maxmemory-policy is {policy}: harmless while maxmemory is 0"
        yield Finding(level, "redis", text, "set maxmemory-policy to noeviction")
    yield judge_clock("redis", skew_s, SKEW_S)


async def _check_partitions(client: RedisClient, settings: Settings) -> Finding | None:
    try:
        held: Any = await client.get(PARTITIONS)
        agreed = None if held is None else parse_partitions(held)
    except (ResponseError, ValueError) as error:
        if isinstance(error, ResponseError) and not is_wrong_type(error):
            return None  # the check of its server reports it
        text = f"the key {PARTITIONS} holds what another program has written: {error}"
        return Finding("warn", "redis", text, REMEDY)
    if agreed in (None, settings.partitions):
        return None
    text = f"what is in it was written with {agreed} partitions, the setting says {settings.partitions}"
    return Finding("fail", "redis", text, f"set TICKPLANT_PARTITIONS={agreed}")


async def _product(client: Any) -> str:
    """Return the server's name and version, for which no permission is needed."""
    words: list[Any] = await client.execute_command("HELLO")
    fields = {_text(name): _text(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    return f"{fields['server'].capitalize()} {fields['version']}"


async def _check_rights(client: Any) -> Finding:
    forbidden = []
    for probe in PROBES:
        try:
            await client.execute_command(*probe)
        except NoPermissionError:
            forbidden.append(
                " ".join(probe[: 2 if probe[0] in ("XGROUP", "XINFO", "SCRIPT", "MEMORY") else 1])
            )
        except ResponseError:  # expected: the probe is invalid
            continue
    if not forbidden:
        return Finding("ok", "redis", "this user has all rights that are needed")
    text = f"this user lacks rights that are needed: {', '.join(forbidden)}"
    remedy = "let an administrator run: acl setuser NAME ~* &* +@all -@admin -@dangerous"
    return Finding("fail", "redis", text, remedy)


async def _read_config(client: RedisClient, name: str) -> str | None:
    """Return a setting of the server; None if this user may not see it, as with most hosted servers."""
    try:
        found: dict[Any, Any] = await client.config_get(name)
    except ResponseError:
        return None
    return next(map(_text, found.values()), None)


def _judge_durability(config: dict[str, str | None]) -> Finding:
    if config["appendonly"] is None:
        text = "this user may not see whether acknowledged writes are on disk"
        remedy = "make sure that appendonly is yes, appendfsync always and maxmemory-policy noeviction"
        return Finding("warn", "redis", text, remedy)
    if config["appendonly"] == "no":
        return Finding(
            "fail",
            "redis",
            "appendonly is no: trades that are not yet stored are lost when it restarts",
            "set appendonly to yes and appendfsync to always",
        )
    if config["appendfsync"] == "always":
        return Finding("ok", "redis", "every acknowledged write is on disk (appendfsync always)")
    return Finding(
        "warn",
        "redis",
        f"appendonly is {config['appendonly']} and appendfsync is {config['appendfsync']}:"
        " a crash can lose the last second of trades",
        "set appendfsync to always; batches keep it cheap",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
