"""The checks of `tickplant doctor`: each looks at one thing and changes nothing."""

import asyncio
import platform
import shutil
import time
from collections.abc import Iterator
from typing import Any, Final, Literal
from urllib.request import urlopen

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError

from db.inspection import Inspection, inspect
from tickplant.cli.reach import unreachable
from tickplant.cli.roles import role_settings
from tickplant.cli.servers import data_folder
from tickplant.embedded import PostgresServer, RedisServer
from tickplant.embedded.binaries import OLDEST_POSTGRES
from tickplant.embedded.server import Server
from tickplant.errors import FatalError, SettingsError
from tickplant.redis_client import OLDEST_REDIS, open_redis
from tickplant.settings import Settings, read_settings

_SKEW_S: Final = 1.0
"""A clock that is off by more is worth knowing of. Nothing breaks: leases go by the database's clock."""
_VENUE_SKEW_S: Final = 5.0
_FREE_BYTES: Final = 128 << 20
_SCARCE_BYTES: Final = 2 << 30


class Finding(Struct, frozen=True):
    """What one check found."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    mend: str = ""
    """What to do; empty if all is well."""


def check_settings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings; None if they are wrong."""
    try:
        settings = read_settings()
        role_settings(settings)
    except SettingsError as error:
        mend = "correct it in the environment or in .env; .env.example explains every setting"
        return None, [Finding("fail", "settings", problem, mend) for problem in error.problems]
    text = f"{len(settings.symbols)} symbols, {settings.partitions} partitions, {settings.workers} workers"
    return settings, [
        Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("ok", "settings", text),
    ]


async def check_surroundings(settings: Settings) -> list[Finding]:
    """Check everything outside this process."""
    parts = await asyncio.gather(
        _check_redis(settings), _check_database(settings), _check_disk(settings), _check_venues(settings)
    )
    return [finding for part in parts for finding in part]


async def _check_redis(settings: Settings) -> list[Finding]:
    server = RedisServer(data_folder(settings) / "redis", source=settings.embedded_servers)
    try:
        url = settings.redis_url or _running(server)
        if url is None:
            return [Finding("ok", "redis", f"not running; `tickplant up` starts {server.description}")]
        return list(await _inspect_redis(url))
    except FatalError as error:
        return [Finding("fail", "redis", str(error))]


async def _inspect_redis(url: str) -> Iterator[Finding]:
    client = open_redis(url, timeout_s=5)
    try:
        before_s = time.time()
        seconds, microseconds = await client.time()
        skew_s = seconds + microseconds / 1e6 - (before_s + time.time()) / 2
        info: dict[str, Any] = await client.info("server")
        memory: dict[str, Any] = await client.info("memory")
        config: dict[Any, Any] = {}  # text, whatever the client decodes
        for name in ("appendonly", "appendfsync"):
            try:
                config |= await client.config_get(name)
            except RedisError:  # hosted servers often forbid it
                config[name] = "unknown"
    except (RedisError, OSError) as error:
        mend = "start the server, and check TICKPLANT_REDIS_URL: host, port, password, firewall"
        return iter([Finding("fail", "redis", f"can't be reached: {error}", mend)])
    finally:
        await client.aclose()
    return _judge_redis(info, memory, config, skew_s)


def _judge_redis(
    info: dict[str, Any], memory: dict[str, Any], config: dict[str, str], skew_s: float
) -> Iterator[Finding]:
    version = str(info.get("valkey_version") or info["redis_version"])
    product = "Valkey" if "valkey_version" in info else "Redis"
    if tuple(map(int, str(info["redis_version"]).split(".")[:2])) < OLDEST_REDIS:
        yield Finding("fail", "redis", f"{product} {version} is too old", "install version 6.2 or newer")
    else:
        yield Finding("ok", "redis", f"{product} {version} answers")
    yield _judge_durability(config)
    policy = str(memory.get("maxmemory_policy", "unknown"))
    if policy != "noeviction":
        limited = bool(memory.get("maxmemory"))
        yield Finding(
            "fail" if limited else "warn",
            "redis",
            f"maxmemory-policy is {policy}: "
            + (
                "trades can be evicted before they are stored" if limited else "harmless while maxmemory is 0"
            ),
            "set maxmemory-policy to noeviction",
        )
    yield _judge_clock("redis", skew_s, _SKEW_S)


def _judge_durability(config: dict[str, str]) -> Finding:
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


async def _check_database(settings: Settings) -> list[Finding]:
    server = PostgresServer(data_folder(settings) / "postgres", source=settings.embedded_servers)
    try:
        url = settings.database_url or _running(server)
        if url is None:
            return [Finding("ok", "database", f"not running; `tickplant up` starts {server.description}")]
    except FatalError as error:
        return [Finding("fail", "database", "no server", str(error))]
    try:
        return list(_judge_database(await inspect(url), settings))
    except FatalError as error:
        mend = "start the server, and check TICKPLANT_DATABASE_URL: host, port, user, password, database"
        return [Finding("fail", "database", str(error), mend)]


def _judge_database(found: Inspection, settings: Settings) -> Iterator[Finding]:
    if found.major < OLDEST_POSTGRES:
        mend = f"install version {OLDEST_POSTGRES} or newer"
        yield Finding("fail", "database", f"PostgreSQL {found.version} is too old", mend)
    else:
        yield Finding("ok", "database", f"PostgreSQL {found.version} answers")
    if found.unfit is not None:
        yield Finding("fail", "database", found.unfit)
    if not found.durable:
        text = "fsync is off: a crash can lose trades that Redis has let go"
        yield Finding("fail", "database", text, "set it to on")
    yield _judge_extension(found, settings)
    yield _judge_schema(found)
    if found.partitions not in (None, settings.partitions):
        text = f"it was created with {found.partitions} partitions, the setting says {settings.partitions}"
        yield Finding("fail", "database", text, f"set TICKPLANT_PARTITIONS={found.partitions}")
    yield _judge_clock("database", found.skew_s, _SKEW_S)


def _judge_extension(found: Inspection, settings: Settings) -> Finding:
    if found.timescaledb_used:
        return Finding("ok", "database", f"TimescaleDB {found.timescaledb_used} is used")
    wanted = settings.timescaledb == "on"
    if found.migrations_done:
        text, mend = "TimescaleDB is not used; plain tables are", "it is decided when a database is created"
        return Finding("warn" if wanted else "ok", "database", text, mend if wanted else "")
    if found.timescaledb_offered:
        return Finding("ok", "database", "TimescaleDB is there to be used")
    text = "TimescaleDB is not installed, or not in shared_preload_libraries; plain tables work, too"
    mend = "install it and add it there, or set TICKPLANT_TIMESCALEDB to auto"
    return Finding("fail" if wanted else "ok", "database", text, mend if wanted else "")


def _judge_schema(found: Inspection) -> Finding:
    if found.migrations_done > found.migrations_known:
        text = f"its schema ({found.migrations_done}) is newer than this version's ({found.migrations_known})"
        return Finding("fail", "database", text, "install the newer tickplant again")
    if found.migrations_done < found.migrations_known:
        text = f"{found.migrations_known - found.migrations_done} migrations have not been run"
        return Finding("warn", "database", text, "run `tickplant migrate`; `tickplant up` does it by itself")
    return Finding("ok", "database", f"its schema is this version's ({found.migrations_done})")


def _judge_clock(subject: str, skew_s: float, limit_s: float) -> Finding:
    text = f"its clock and this machine's agree to {abs(skew_s):.3f} s"
    if abs(skew_s) <= limit_s:
        return Finding("ok", subject, text)
    text = f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    return Finding("warn", subject, text, "keep both in time with NTP; ingest times are this machine's")


async def _check_disk(settings: Settings) -> list[Finding]:
    if settings.redis_url and settings.database_url:
        return []  # the servers' disks are not ours to see
    folder = data_folder(settings)
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free_bytes = shutil.disk_usage(existing).free
    except OSError as error:
        mend = "mend its permissions, or choose another folder with --data or TICKPLANT_DATA"
        return [Finding("fail", "disk", f"can't use {folder}: {error.strerror}", mend)]
    level: Literal["ok", "warn", "fail"] = "ok"
    if free_bytes < _SCARCE_BYTES:
        level = "fail" if free_bytes < _FREE_BYTES else "warn"
    mend = "" if level == "ok" else "free some space, or choose another folder with --data or TICKPLANT_DATA"
    return [Finding(level, "disk", f"{free_bytes / (1 << 30):,.1f} GB are free in {folder}", mend)]


async def _check_venues(settings: Settings) -> list[Finding]:
    findings = []
    for venue in dict.fromkeys(venue for venue, _ in settings.symbols):
        findings += await _check_venue(settings, venue)
    return findings


async def _check_venue(settings: Settings, venue: str) -> list[Finding]:
    url = getattr(settings, f"{venue}_ws_url", None)
    if url is None:
        mend = "check TICKPLANT_SYMBOLS: its words are venue:SYMBOL"
        return [Finding("fail", "venue", f"there is no venue {venue!r}", mend)]
    reason = await unreachable(url)
    if reason is not None:
        text = f"{url} can't be reached: {reason}"
        mend = f"check the network and TICKPLANT_{venue.upper()}_WS_URL; `tickplant up --demo` does without"
        return [Finding("fail", "venue", text, mend)]
    finding = Finding("ok", "venue", f"{url} answers")
    if venue != "binance":
        return [finding]
    try:
        skew_s = await asyncio.to_thread(_venue_skew_s, settings.binance_rest_url)
    except (OSError, ValueError) as error:
        text = f"{settings.binance_rest_url} can't be reached: {error}"
        mend = "check TICKPLANT_BINANCE_REST_URL; live trades don't need it"
        return [finding, Finding("warn", "venue", text, mend)]
    return [finding, _judge_clock("venue", skew_s, _VENUE_SKEW_S)]


def _venue_skew_s(rest_url: str) -> float:
    before_s = time.time()
    with urlopen(f"{rest_url}/api/v3/time", timeout=5) as answer:  # noqa: S310 - http by the settings' check
        theirs_ms = msgspec.json.decode(answer.read())["serverTime"]
    return float(theirs_ms) / 1000 - (before_s + time.time()) / 2


def _running(server: Server) -> str | None:
    """Return the address of an embedded server if `tickplant up` runs it."""
    return server.url if server.folder.is_locked() else None
