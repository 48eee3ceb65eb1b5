"""`tickplant verify`: stored candles compared with the venue's own, and mended."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.averages import AverageSpecs
from tickplant.cli.audit import print_comparison, show_time
from tickplant.cli.database_arguments import parse_time
from tickplant.errors import FatalError
from tickplant.intervals import MINUTE_US, floor
from tickplant.settings import Settings, read_settings
from tickplant.times import to_us

if TYPE_CHECKING:
    from maintenance.plant import Plant
    from tickplant.klines import Comparison

HELP: Final = "compare candles with the venue's own, and mend what differs"

DESCRIPTION: Final = """\
Compare the stored candles of one minute with the candles that the venue gives over REST, digit by digit. The
trades of every minute that differs or is not stored are fetched anew and put in the place of what is stored,
and all candles that the minute belongs to are computed from that. Then these minutes are compared once more.

It runs beside a running plant: Redis, the database and a worker have to be up; ingest may be. Only minutes
that have closed are compared, and only those mended whose trades have not been removed by age
(TICKPLANT_KEEP_TRADES_DAYS).

The exit code is 0 if everything agrees in the end, and 1 if anything differs still.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_<VENUE>_REST_URL

examples:
  tickplant verify binance:BTCUSDT
  tickplant verify binance:BTCUSDT --from 2026-11-01 --to 2026-11-02 --dry-run
"""

_AT_ONCE_US: Final = 10 * MINUTE_US
"""The longest stretch that is mended at once: its trades are in memory, and the transaction must be short."""
_TIMES: Final = "a date, an RFC 3339 time, or milliseconds since 1970"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("symbol", metavar="VENUE:SYMBOL", help="such as binance:BTCUSDT")
    parser.add_argument(
        "--from",
        dest="start",
        type=parse_time,
        metavar="TIME",
        help=f"first moment: {_TIMES}; the first trade stored unless given",
    )
    parser.add_argument(
        "--to",
        dest="end",
        type=parse_time,
        metavar="TIME",
        help="last moment, exclusive; the last closed minute unless given",
    )
    parser.add_argument("--dry-run", action="store_true", help="compare only, and mend nothing")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    settings = read_settings()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    return interrupts.run(_verify(settings, args))


async def _verify(settings: Settings, args: Namespace) -> int:
    from maintenance.plant import open_plant

    async with open_plant(settings, args.symbol, application="tickplant verify") as plant:
        specs = settings.average_specs if "averages" in settings.roles else None
        bounds = await _bounds(plant, args.start, args.end)
        comparison = await _compare(plant, [bounds])
        print_comparison(comparison)
        minutes = (bounds[1] - bounds[0]) // MINUTE_US
        given = comparison.matched + comparison.differing + len(comparison.uncovered)
        if given < minutes:
            print(f"the venue gives no candles of {minutes - given:,} of {minutes:,} minutes")
        wrong = _stretches(comparison)
        mendable = [] if args.dry_run else await _mendable(plant, wrong)
        if mendable:
            await plant.expect_worker()
            for start_us, end_us in mendable:
                await _mend(plant, start_us, end_us, specs)
            comparison = await _compare(plant, mendable)
            print("compared once more:")
            print_comparison(comparison)
            wrong = [*_stretches(comparison), *(it for it in wrong if it not in mendable)]
    return 1 if wrong else 0


async def _bounds(plant: "Plant", start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return the first minute to compare, and the one after the last.

    Raises:
        FatalError: there is none.
    """
    ledger = await plant.read_ledger()
    if ledger is None:
        raise FatalError(f"no trades of {plant.symbol} are stored; `tickplant backfill` fetches them")
    closed_us = floor(ledger.watermark_us, MINUTE_US)
    begin_us = to_us(start) if start else await plant.read_first_minute()
    end_us = min(to_us(end or datetime.now(UTC)), closed_us)
    bounds = floor(begin_us, MINUTE_US), floor(end_us, MINUTE_US)
    if bounds[0] >= bounds[1]:
        raise FatalError(f"no minute of {plant.symbol} has closed in that time")
    return bounds


async def _compare(plant: "Plant", stretches: Iterable[tuple[int, int]]) -> "Comparison":
    """Compare minutes with the venue's, request by request."""
    from db.audit import read_minutes
    from db.pool import snapshot
    from tickplant.klines import Comparison, compare

    comparison = Comparison()
    for start_us, end_us in stretches:
        async for klines in plant.read_klines(start_us, end_us):
            times = [kline.open_time_us for kline in klines]
            async with snapshot(plant.pool, timeout_s=60) as connection:
                compare(klines, await read_minutes(connection, plant.symbol, times), comparison)
    return comparison


async def _mendable(plant: "Plant", stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches whose trades were not removed by age.

    Elsewhere, trades that come again could not be told from those that a neighbouring candle still holds.
    """
    horizon = await plant.read_horizon()
    if horizon is None:
        return stretches
    kept = [stretch for stretch in stretches if stretch[0] >= to_us(horizon)]
    if len(kept) < len(stretches):
        print(
            f"minutes before {horizon:%Y-%m-%dT%H:%M:%SZ} are not mended: their trades have been removed"
            " by age (TICKPLANT_KEEP_TRADES_DAYS)"
        )
    return kept


def _stretches(comparison: "Comparison") -> list[tuple[int, int]]:
    """Return the minutes that differ or are not stored, some neighbours joined: begins, exclusive ends."""
    minutes = {mismatch.open_time_us for mismatch in comparison.mismatches} | {*comparison.uncovered}
    stretches: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if stretches and stretches[-1][1] == minute < stretches[-1][0] + _AT_ONCE_US:
            stretches[-1] = stretches[-1][0], minute + MINUTE_US
        else:
            stretches.append((minute, minute + MINUTE_US))
    return stretches


async def _mend(plant: "Plant", start_us: int, end_us: int, specs: AverageSpecs | None) -> None:
    """Fetch the trades of some minutes, and put them in the place of what is stored.

    Raises:
        FatalError: the venue doesn't give them all; nothing has changed.
    """
    from db.repair import forget
    from ingest.history.fill import publish_stretch
    from ingest.history.ranges import subtract

    ids = await plant.find_ids(start_us, end_us)
    if ids is None:
        raise FatalError(f"{plant.symbol}: the venue has candles but no trades at {show_time(start_us)}")
    stretch = await plant.past.read(*ids)
    given = sorted([*stretch.void, *((trade.trade_id, trade.trade_id) for trade in stretch.trades)])
    if lacking := subtract(ids, given):
        raise FatalError(f"{plant.symbol}: the venue doesn't give trades {lacking[0][0]} to {lacking[-1][1]}")
    print(f"fetched {len(stretch.trades):,} trades from {show_time(start_us)} on", flush=True)
    gaps = await forget(plant.pool, plant.partition, plant.symbol, start_us, end_us, ids, specs=specs)
    await plant.tell_gaps(gaps)
    ledger = await plant.read_ledger()
    rising = ledger is not None and ids[1] >= ledger.first_trade_id
    await publish_stretch(plant.publisher, plant.symbol, stretch, rising=rising)
    await plant.settle()
