"""`tickplant backfill`: a symbol's past, fetched from its venue."""

import logging
import math
import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.database_arguments import parse_time
from tickplant.errors import FatalError
from tickplant.settings import Settings, read_settings
from tickplant.times import to_us

if TYPE_CHECKING:
    from ingest.history.ranges import Range
    from maintenance.plant import Plant

HELP: Final = "fetch a symbol's past from its venue"

DESCRIPTION: Final = """\
Fetch the trades of a stretch of time from the venue's REST history and store them, beside a running plant:
Redis, the database and a worker have to be up; ingest may be.

Only what is not stored is fetched, within the venue's request budget, which it shares with ingest. Stop it
with Ctrl-C when you like: the same command goes on where it stopped. What lies between the stretch and what
is stored already is fetched, too, so that no gap opens.

Candles are made of everything; trades older than TICKPLANT_KEEP_TRADES_DAYS are removed again after that.

The exit code is 0 if nothing is missing of the stretch, and 1 if the venue doesn't give everything.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_<VENUE>_REST_URL

examples:
  tickplant backfill binance:BTCUSDT --from 2026-11-01
  tickplant backfill coinbase:ETH-USD --from 2026-11-01 --to 2026-11-02T12:00:00Z
"""

_TIMES: Final = "a date, an RFC 3339 time, or milliseconds since 1970"
_PASSES: Final = 3
"""How often what has not arrived is asked for: Redis may have lost some of it in a crash."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("symbol", metavar="VENUE:SYMBOL", help="such as binance:BTCUSDT")
    parser.add_argument(
        "--from",
        dest="start",
        required=True,
        type=parse_time,
        metavar="TIME",
        help=f"first moment, inclusive: {_TIMES}",
    )
    parser.add_argument(
        "--to", dest="end", type=parse_time, metavar="TIME", help="last moment, exclusive; now unless given"
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    now = datetime.now(UTC)
    end = min(args.end or now, now)
    if args.start >= end:
        raise FatalError(
            f"--from {args.start:%Y-%m-%dT%H:%M:%SZ} is not before --to {end:%Y-%m-%dT%H:%M:%SZ}"
        )
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        return interrupts.run(_backfill(settings, args.symbol, args.start, end))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


async def _backfill(settings: Settings, text: str, start: datetime, end: datetime) -> int:
    from ingest.history.ranges import count_ids
    from maintenance.plant import open_plant, progress

    async with open_plant(settings, text, application="tickplant backfill") as plant:
        await plant.expect_worker()
        ids = await plant.find_ids(to_us(start), to_us(end))
        if ids is None:
            print(f"{plant.symbol}: the venue has no trades in that time")
            return 0
        wanted = await plant.read_wanted(ids)
        asked = count_ids(wanted)
        print(_plan(plant, ids, asked), flush=True)
        limit = await plant.read_limit()
        if limit is not None and start < limit:
            print(
                f"{plant.symbol}: trades before {limit:%Y-%m-%dT%H:%M:%SZ} are removed by age once their"
                " candles are made (TICKPLANT_KEEP_TRADES_DAYS)"
            )
        for _ in range(_PASSES):
            if not wanted:
                break
            with progress(str(plant.symbol), wanted) as show:
                await plant.fetch(wanted, show)
            wanted = await plant.read_wanted(ids)
        left = count_ids(wanted)
    print(f"{plant.symbol}: {asked - left:,} fetched and stored, {left:,} missing")
    return 1 if left else 0


def _plan(plant: "Plant", ids: "Range", asked: int) -> str:
    """Say what is to be done and how long it takes at least."""
    from ingest.history.page import PAGE_IDS

    span = f"{plant.symbol}: trades {ids[0]} to {ids[1]}"
    if not asked:
        return f"{span}: all are stored"
    requests = math.ceil(asked / PAGE_IDS)
    seconds = requests / plant.venue.limits.requests_per_s
    what = f"{asked:,} of {ids[1] - ids[0] + 1:,} to fetch"
    return f"{span}: {what} in {requests:,} requests, {_length(seconds)} or more"


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
