"""`tickplant backfill`: fetches a symbol's history from its venue."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.database_arguments import TIME_FORMS, parse_time
from tickplant.cli.progress import duration, progress_bar_or_lines
from tickplant.errors import UsageError
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from maintenance.backfill import BackfillPlan
    from maintenance.symbol import SymbolMaintenance

HELP: Final = "fetch a symbol's history from its venue"

DESCRIPTION: Final = """\
Fetch the trades of a time range from the venue's REST history and store them, beside a running plant:
Redis, the database and a worker have to be running; ingest need not be.

Only trades that are not stored are fetched, within the venue's request budget, which is shared with ingest.
Ctrl-C stops it at any time; the same command resumes. Trades between the time range and what is stored
already are fetched, too, so that no gap opens.

Candles are made of all of them; trades older than TICKPLANT_KEEP_TRADES_DAYS are removed again afterwards.

The exit code is 0 if nothing is missing in the time range, and 1 if the venue doesn't give everything.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_<VENUE>_REST_URL

examples:
  tickplant backfill binance:BTCUSDT --from 2026-11-01
  tickplant backfill coinbase:ETH-USD --from 2026-11-01 --to 2026-11-02T12:00:00Z
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("symbol", metavar="VENUE:SYMBOL", help="such as binance:BTCUSDT")
    parser.add_argument(
        "--from",
        dest="start",
        required=True,
        type=parse_time,
        metavar="TIME",
        help=f"first moment, inclusive: {TIME_FORMS}",
    )
    parser.add_argument(
        "--to", dest="end", type=parse_time, metavar="TIME", help="last moment, exclusive; now unless given"
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    now = datetime.now(UTC)
    end = min(args.end or now, now)
    if args.start >= end:
        raise UsageError(
            f"--from {args.start:%Y-%m-%dT%H:%M:%SZ} is not before --to {end:%Y-%m-%dT%H:%M:%SZ}"
        )
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        return interrupts.run(_backfill(settings, args.symbol, args.start, end))
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes here", file=sys.stderr)
        return 130


async def _backfill(settings: Settings, text: str, start: datetime, end: datetime) -> int:
    from maintenance.backfill import backfill, plan_backfill
    from maintenance.symbol import open_symbol

    async with open_symbol(settings, text, application="tickplant backfill") as target:
        plan = await plan_backfill(target, start, end)
        if plan is None:
            print(f"{target.symbol}: the venue has no trades in that time")
            return 0
        print(_describe(target, plan), flush=True)
        if plan.kept_from is not None:
            print(
                f"{target.symbol}: trades before {plan.kept_from:%Y-%m-%dT%H:%M:%SZ} are removed by age once"
                " their candles are made (TICKPLANT_KEEP_TRADES_DAYS)"
            )
        with progress_bar_or_lines(str(target.symbol)) as on_progress:
            left = await backfill(target, plan, on_progress)
    print(f"{target.symbol}: {plan.missing_count - left:,} fetched and stored, {left:,} missing")
    return 1 if left else 0


def _describe(target: "SymbolMaintenance", plan: "BackfillPlan") -> str:
    """Describe what is going to be fetched, and how long it takes at least."""
    first, last = plan.ids
    span = f"{target.symbol}: trades {first} to {last}"
    if not plan.missing:
        return f"{span}: all are stored"
    what = f"{plan.missing_count:,} of {last - first + 1:,} to fetch"
    seconds = plan.requests / target.venue.limits.requests_per_s
    return f"{span}: {what} in {plan.requests:,} requests, {duration(seconds)} or more"
