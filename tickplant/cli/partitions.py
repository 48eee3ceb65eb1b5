"""`tickplant partitions`: shows which server of Redis has which partition, and moves one to another."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.tables import print_table
from tickplant.errors import FatalError
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from tickplant.redis_servers import RedisServers

HELP: Final = "show which server of Redis has which partition, or move one to another"

DESCRIPTION: Final = """\
Where TICKPLANT_REDIS_URL names several servers, redis://A,redis://B, each partition is on one of them; what
is no partition's is on the first. `partitions list` shows where, as host:port, and how many entries of trades
are there. `partitions move P HOST:PORT` moves partition P while the plant runs: it pauses for as long as
copying its keys takes, usually less than a second, and loses nothing. To use a new server, add it to the end
of TICKPLANT_REDIS_URL of all processes, restart them, and move partitions there.

If a move is killed, run it again: it goes on. To go back instead, move the partition to where it was.

Users of Redis need +dump and +restore for moves, besides the rights that `tickplant doctor` checks.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_PARTITIONS

examples:
  tickplant partitions list
  tickplant partitions move 3 redis-2.example:6379
"""

_ANSWER_S: Final = 60.0
"""How long a server may take to receive a partition and to restore it."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    list_ = what.add_parser("list", help="show which server has which partition")
    move = what.add_parser("move", help="move a partition to another server")
    move.add_argument("partition", metavar="P", type=int, help="its number, from 0")
    move.add_argument("server", metavar="HOST:PORT", help="a server of TICKPLANT_REDIS_URL, as list shows it")
    for command in (list_, move):
        command.add_argument("--data", metavar="DIR", default=SUPPRESS, help=SUPPRESS)


def run(args: Namespace) -> int:
    """Run the command."""
    settings = read_settings()
    interrupts.run(_move(settings, args) if args.what == "move" else _list(settings))
    return 0


async def _list(settings: Settings) -> None:
    from tickplant.moved_partitions import read_lengths

    async with _open(settings) as redis:
        places = await redis.places(settings.partitions)
        lengths = await read_lengths(redis, places)
    rows = [
        [number, place, "?" if lengths[number] is None else lengths[number]]
        for number, place in places.items()
    ]
    print_table("partitions", ["partition", "server", "entries"], rows)


async def _move(settings: Settings, args: Namespace) -> None:
    from tickplant.moved_partitions import move_partition

    if not 0 <= args.partition < settings.partitions:
        raise FatalError(f"there are {settings.partitions} partitions, from 0 to {settings.partitions - 1}")
    async with _open(settings) as redis:
        source = await move_partition(redis, args.partition, args.server, partitions=settings.partitions)
    formerly = f", formerly on {source}" if source != args.server else ""
    print(f"partition {args.partition} is on {args.server}{formerly}")


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator["RedisServers"]:
    """Open the servers.

    Raises:
        FatalError: there is one only, or a cluster, or one can't be reached.
    """
    from redis.exceptions import RedisError

    from tickplant.local.addresses import running_redis
    from tickplant.redis_agreement import agree_on_partitions
    from tickplant.redis_client import open_redis
    from tickplant.redis_errors import redis_error
    from tickplant.redis_servers import RedisServers
    from tickplant.streams import SERVERS

    redis = open_redis(running_redis(settings), timeout_s=_ANSWER_S, shard_timeout_s=_ANSWER_S)
    try:
        if not isinstance(redis, RedisServers):
            raise FatalError(
                "TICKPLANT_REDIS_URL names one server, or a Redis Cluster, which places keys by itself: this"
                " command is for several servers, redis://A,redis://B, each of which has some partitions"
            )
        if not await redis.shared.exists(SERVERS):
            raise FatalError(
                f"{redis.first} does not say where partitions are: the first process that starts, such as"
                " `tickplant ingest`, places them; is it the first address of all processes?"
            )
        await agree_on_partitions(redis, settings.partitions)
        yield redis
    except (RedisError, OSError) as error:
        raise redis_error(error) from error
    finally:
        await redis.aclose()
