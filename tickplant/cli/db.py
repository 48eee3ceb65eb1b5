"""`tickplant db`: the status of the database and its leases, its address, and psql."""

import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.tables import print_json, print_table
from tickplant.errors import FatalError
from tickplant.provenance import SOURCE_DESCRIPTIONS
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from db.leases import LeaseRow
    from db.status import DatabaseStatus
    from tickplant.lag import Lag

HELP: Final = "show the status of the database, print its address, or run psql on it"

DESCRIPTION: Final = """\
`db url` prints the database's address, including its password, for clients such as psql or pandas; the
embedded server has to be running, under `tickplant up`, and ends with it.
`db psql` runs psql on the database, with any arguments that follow.

`db status` shows the size, time range and retention of each table; with TimescaleDB, also its chunks, how
many of them are in the columnstore, their compression ratio, and the jobs that move and remove chunks, with
their next run and last error. Then, for each role and partition, the worker that owns it, the number of
stream entries not committed yet, and how long the oldest one has waited.

  rows      the server's last estimate; empty if there is none
  ratio     row store size divided by columnstore size, of the chunks in the columnstore
  kept      days that rows are kept, counted from the newest trade; empty: for ever
  owner     nobody: no worker owns the partition now; start one, or wait until a lease expires
  lag       entries; exact up to 31, above that slightly overestimated

It changes nothing. If the embedded server is not running, `db status` and `db psql` start it for as long as
they run. If Redis is unavailable, the lag is unknown.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL, TICKPLANT_REDIS_URL (or the embedded servers)

examples:
  tickplant db status
  tickplant db status --json
  tickplant db psql
  tickplant db psql -c 'select * from latest_price'
  psql "$(tickplant db url)"
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    status = what.add_parser("status", help="tables, policies, and the owner of each partition")
    status.add_argument("--json", action="store_true", help="print it as one JSON document")
    url = what.add_parser("url", help="print the address of the database, with its password")
    psql = what.add_parser("psql", help="run psql on the database", add_help=False, allow_abbrev=False)
    for command in (status, url, psql):
        command.add_argument("--data", metavar="DIR", default=SUPPRESS, help=SUPPRESS)
    psql.set_defaults(takes_rest=True)


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    settings = read_settings()
    if args.what == "status":
        return _run_status(settings, as_json=args.json)
    from tickplant.cli.db_client import database_address, run_psql

    if args.what == "psql":
        return interrupts.run(run_psql(settings, args.rest))
    print(database_address(settings))
    return 0


def _run_status(settings: Settings, *, as_json: bool) -> int:
    status = interrupts.run(_read_status(settings))
    lags, reason = interrupts.run(_read_lags(settings, status.leases))
    if as_json:
        print_json(_document(status, lags, reason))
    else:
        _print(status, lags, reason)
    return 0


async def _read_status(settings: Settings) -> "DatabaseStatus":
    from db.status import read_database_status
    from tickplant.cli.database_arguments import open_database

    async with open_database(settings, application="tickplant db") as connection:
        return await read_database_status(connection)


async def _read_lags(settings: Settings, leases: "list[LeaseRow]") -> "tuple[list[Lag | None], str]":
    """Return the lag of each lease, and the reason if it is unknown."""
    from redis.exceptions import RedisError

    from tickplant.lag import read_lag
    from tickplant.local.addresses import running_redis
    from tickplant.redis_client import open_redis
    from tickplant.redis_errors import redis_error

    try:
        url = running_redis(settings)
    except FatalError:
        return [None] * len(leases), "Redis is not running"
    redis = open_redis(url, timeout_s=5)
    try:
        return [await read_lag(redis, lease.role, lease.partition, lease.entry_id) for lease in leases], ""
    except FatalError as error:
        return [None] * len(leases), str(error)
    except (RedisError, OSError) as error:
        return [None] * len(leases), str(redis_error(error))
    finally:
        await redis.aclose()


def _print(status: "DatabaseStatus", lags: "list[Lag | None]", reason: str) -> None:
    extension = f"TimescaleDB {status.timescaledb}" if status.timescaledb else "without TimescaleDB"
    size, symbols = _size(status.bytes), f"{status.symbols:,} symbols"
    source = f", {SOURCE_DESCRIPTIONS[status.source]}" if status.source else ""
    print(f"PostgreSQL {status.version}, {extension}: {size}, {symbols}{source}\n")
    columns = ("table", "rows", "size", "chunks", "columnstore", "ratio", "kept", "oldest", "newest")
    hidden = () if status.timescaledb else ("chunks", "columnstore", "ratio")
    shown = [number for number, column in enumerate(columns) if column not in hidden]
    rows = [
        (
            *(table.name, None if table.rows is None else f"{table.rows:,}"),
            *(_size(table.bytes), table.chunks),
            *(table.columnstore_chunks, table.ratio and f"{table.ratio:.1f}", table.keep_days),
            *(_time(table.oldest), _time(table.newest)),
        )
        for table in status.tables
    ]
    print_table(
        "Tables", [columns[number] for number in shown], [[row[number] for number in shown] for row in rows]
    )
    print_table(
        "Policies",
        ("policy", "table", "every", "next", "last success", "failures", "last error"),
        [
            (
                *(policy.name, policy.relation, str(policy.every), _time(policy.next_start)),
                *(_time(policy.last_finish), policy.failures, policy.last_error),
            )
            for policy in status.policies
        ],
    )
    print_table(
        "Partitions",
        ("role", "partition", "owner", "epoch", "committed entry", "lag", "waiting"),
        [
            (
                *(lease.role, lease.partition, lease.owner if lease.alive else "nobody", lease.epoch),
                *(lease.entry_id, "unknown" if lag is None else lag.entries, _waiting(lag)),
            )
            for lease, lag in zip(status.leases, lags, strict=True)
        ],
    )
    if not status.leases:
        print("no worker has used this database yet")
    elif reason:
        print(f"the lag is unknown: {reason}")


def _document(status: "DatabaseStatus", lags: "list[Lag | None]", reason: str) -> dict[str, object]:
    import msgspec

    partitions = [
        {
            **lease._asdict(),
            "lag_entries": lag.entries if lag else None,
            "waiting_s": _waiting_s(lag),
        }
        for lease, lag in zip(status.leases, lags, strict=True)
    ]
    document = msgspec.structs.asdict(status)
    del document["leases"]
    return {**document, "partitions": partitions, "lag_unknown": reason or None}


def _waiting_s(lag: "Lag | None") -> float | None:
    """Return how long the oldest entry has been waiting, by Redis's clock and this machine's."""
    if lag is None or lag.oldest_ms is None:
        return None
    return max(0.0, round(time.time() - lag.oldest_ms / 1000, 3))


def _waiting(lag: "Lag | None") -> str | None:
    waiting_s = _waiting_s(lag)
    return None if waiting_s is None else str(timedelta(seconds=round(waiting_s)))


def _size(count: int) -> str:
    """Format a number of bytes for people."""
    if count < 1 << 20:
        return f"{count / (1 << 10):,.0f} kB"
    return f"{count / (1 << 20):,.1f} MB" if count < 1 << 30 else f"{count / (1 << 30):,.1f} GB"


def _time(time: datetime | None) -> str | None:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else None
