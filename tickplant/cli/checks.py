"""The checks of `tickplant doctor`: each looks at one thing and changes nothing."""

import asyncio
import errno
import os
import platform
import shutil
from argparse import Namespace
from collections.abc import Iterator
from typing import Final, Literal

from db.inspection import Inspection, inspect
from db.replication import inspect_replica
from tickplant.cli.finding import Finding, judge_clock
from tickplant.cli.ignored_folder import refuse_ignored_folder
from tickplant.cli.redis_check import check_redis, received_source
from tickplant.cli.roles import role_settings
from tickplant.cli.venue_check import check_venues, prepare_venues
from tickplant.errors import FatalError, SettingsError
from tickplant.hosts import is_loopback
from tickplant.local import PostgresServer
from tickplant.local.binaries import OLDEST_POSTGRES
from tickplant.local.data_folder import folder_in_use
from tickplant.local.server import Server
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

_SKEW_S: Final = 1.0
"""A clock that is off by more is worth knowing of. Nothing breaks: leases go by the database's clock."""
_REPLICA_LAG_S: Final = 60.0
_FREE_BYTES: Final = 128 << 20
_SCARCE_BYTES: Final = 2 << 30


def check_settings(args: Namespace) -> tuple[Settings | None, list[Finding]]:
    """Read the settings; None if they are wrong."""
    try:
        refuse_ignored_folder(args)
        settings = read_settings()
        role_settings(settings)
    except SettingsError as error:
        remedy = "correct it in the environment or in .env; .env.example explains every setting"
        return None, [Finding("fail", "settings", problem, remedy) for problem in error.problems]
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    text = ", ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in (
            (len(settings.symbols), "symbol"),
            (settings.partitions, "partition"),
            (settings.workers, "worker"),
        )
    )
    wrong = prepare_venues(settings)[1]
    findings = [Finding("ok", "python", python), _check_kernel()]
    return settings, [*findings, *(wrong or [Finding("ok", "settings", text)])]


def _check_kernel() -> Finding:
    try:
        from tickplant import kernel
    except FatalError as error:
        return Finding("fail", "kernel", str(error))
    if kernel.NAME == "compiled":
        return Finding("ok", "kernel", "compiled")
    text = "python: trades take several times the CPU time that they take where it is compiled"
    return Finding("ok", "kernel", text)


async def check_surroundings(settings: Settings) -> list[Finding]:
    """Check everything outside this process."""
    source = await received_source(settings)
    parts = await asyncio.gather(
        check_redis(settings),
        _check_database(settings),
        _check_disk(settings),
        check_venues(settings, source),
    )
    return [finding for part in parts for finding in part]


async def _check_database(settings: Settings) -> list[Finding]:
    server = PostgresServer(folder_in_use(settings) / "postgres", source=settings.embedded_servers)
    try:
        url = settings.database_url or _running(server)
        if url is None:
            return [Finding("ok", "database", f"not running; `tickplant up` starts {server.description}")]
    except FatalError as error:
        return [Finding("fail", "database", "no server", str(error))]
    try:
        findings = list(_judge_database(await inspect(url), settings))
    except FatalError as error:
        remedy = "start the server, and check TICKPLANT_DATABASE_URL: host, port, user, password, database"
        return [Finding("fail", "database", str(error), remedy)]
    if settings.database_read_url is not None:
        findings.append(await _check_replica(url, settings.database_read_url))
    return findings


async def _check_replica(url: str, replica_url: str) -> Finding:
    try:
        state = await inspect_replica(url, replica_url)
    except FatalError as error:
        text = str(error).replace("TICKPLANT_DATABASE_URL", "TICKPLANT_DATABASE_READ_URL")
        return Finding("fail", "replica", text, "start it, or leave TICKPLANT_DATABASE_READ_URL empty")
    if not state.standby:
        text = "the server of TICKPLANT_DATABASE_READ_URL follows no other: its lag is unknown"
        return Finding("warn", "replica", text, "name a standby, or leave it empty to read from the primary")
    if state.lag_bytes is None or state.lag_s is None:
        return Finding("ok", "replica", "it answers; how far it is behind is unknown")
    behind = f"{state.lag_s:.1f} s, {state.lag_bytes:,} bytes of the write-ahead log"
    if state.lag_s > _REPLICA_LAG_S:
        remedy = "see pg_stat_replication on the primary; newer data comes from the live streams meanwhile"
        return Finding("warn", "replica", f"it is {behind} behind the primary", remedy)
    text = f"it is {behind} behind the primary" if state.lag_bytes else "it has all that the primary has"
    return Finding("ok", "replica", text)


def _judge_database(found: Inspection, settings: Settings) -> Iterator[Finding]:
    if found.major < OLDEST_POSTGRES:
        remedy = f"install version {OLDEST_POSTGRES} or newer"
        yield Finding("fail", "database", f"PostgreSQL {found.version} is too old", remedy)
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
    yield judge_clock("database", found.skew_s, _SKEW_S)
    yield judge_access(settings, found.api_keys)


def _judge_extension(found: Inspection, settings: Settings) -> Finding:
    if found.timescaledb_used:
        return Finding("ok", "database", f"TimescaleDB {found.timescaledb_used} is used")
    wanted = settings.timescaledb == "on"
    if found.schema:
        text, remedy = "TimescaleDB is not used; plain tables are", "it is decided when a database is created"
        return Finding("warn" if wanted else "ok", "database", text, remedy if wanted else "")
    if found.timescaledb_offered:
        return Finding("ok", "database", "TimescaleDB is installed")
    text = "TimescaleDB is not installed, or not in shared_preload_libraries; plain tables work, too"
    remedy = "install it and add it there, or set TICKPLANT_TIMESCALEDB to auto"
    return Finding("fail" if wanted else "ok", "database", text, remedy if wanted else "")


def judge_access(settings: Settings, keys: int) -> Finding:
    """Judge who may use the API."""
    host = settings.api_host
    if settings.public == "read":
        return Finding("ok", "api", f"everybody who reaches {host} may read; changes need a key")
    if is_loopback(host) and settings.public is None:
        return Finding(
            "ok", "api", f"it listens on {host}: everything on this machine may use it without a key"
        )
    if not keys:
        text = f"it would not start on {host}: requests there need a key, and there is none"
        return Finding(
            "fail", "api", text, "make one with `tickplant keys create`, or set TICKPLANT_PUBLIC=read"
        )
    if not (is_loopback(host) or settings.api_tls_cert or settings.api_proxies):
        text = f"requests to {host} need a key, and send it unencrypted"
        remedy = "set TICKPLANT_API_TLS_CERT, or name a proxy that has TLS in TICKPLANT_API_PROXIES"
        return Finding("warn", "api", text, remedy)
    return Finding("ok", "api", f"requests need a key; {keys} valid")


def _judge_schema(found: Inspection) -> Finding:
    if found.schema > found.known_schema:
        text = f"its schema ({found.schema}) is newer than this version's ({found.known_schema})"
        return Finding("fail", "database", text, "install the newer tickplant again")
    if found.pending_migrations:
        text = f"{found.pending_migrations} migrations have not been run"
        return Finding("warn", "database", text, "run `tickplant migrate`; `tickplant up` does it by itself")
    return Finding("ok", "database", f"its schema is this version's ({found.schema})")


async def _check_disk(settings: Settings) -> list[Finding]:
    if settings.redis_url and settings.database_url:
        return []  # the servers' disks are not ours to see
    folder = folder_in_use(settings)
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free_bytes = shutil.disk_usage(existing).free
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        remedy = "correct its permissions, or choose another folder with --data or TICKPLANT_DATA"
        return [Finding("fail", "disk", f"can't use {folder}: {error.strerror}", remedy)]
    level: Literal["ok", "warn", "fail"] = "ok"
    if free_bytes < _SCARCE_BYTES:
        level = "fail" if free_bytes < _FREE_BYTES else "warn"
    remedy = "free some space, or choose another folder with --data or TICKPLANT_DATA"
    text = f"{free_bytes / (1 << 30):,.1f} GB are free in {folder}"
    return [Finding(level, "disk", text, "" if level == "ok" else remedy)]


def _running(server: Server) -> str | None:
    """Return the address of an embedded server if `tickplant up` runs it."""
    return server.url if server.folder.is_locked() else None
