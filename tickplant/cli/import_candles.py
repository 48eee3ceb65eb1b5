"""Where `tickplant import --candles` reads the venue's own candles from: Binance's archive, or files."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from db.pool import snapshot, transaction
from db.retention import read_retention_limit
from db.venue_candles import count_venue_candles, store_venue_candles
from ingest.history.client import open_history_client
from ingest.imports.binance_archive import BinanceArchive
from ingest.imports.binance_candles import CandleFile, FileCandles
from ingest.venues.binance_files import ONLY_MONTHS, Period, split_periods
from ingest.venues.binance_rest import NAME as BINANCE
from maintenance.import_run import require_database_space
from maintenance.imports import AHEAD_TRADES
from maintenance.symbol import SymbolMaintenance, open_symbol
from tickplant.cli.downloads import default_cache, find_files, report_absent, require_space
from tickplant.cli.progress import progress_bar_or_lines
from tickplant.errors import UsageError
from tickplant.intervals import INTERVALS
from tickplant.local.data_folder import folder_in_use
from tickplant.market import SymbolId
from tickplant.proxies import Proxies
from tickplant.settings import Settings
from tickplant.times import format_time, to_datetime

_APPLICATION: Final = "tickplant import"
_SHOWN: Final = 3
"""Refused lines that are shown."""
_CANDLE_BYTES: Final = 260
"""What a candle takes of the database's disk until it is in the columnstore, with index and WAL."""
_AT_ONCE: Final = 5_000
"""Candles stored by one statement."""
_READ_S: Final = 30.0
_ONLY_IN_MONTHS: Final = "the archive has weeks only in files of whole months that have ended"


class CandleImport:
    """The candles of one symbol and interval that are stored."""

    def __init__(self, target: SymbolMaintenance, interval: str) -> None:
        self._target = target
        self._interval = interval
        self._candles = self._stored = 0
        self._span_us: tuple[int, int] | None = None
        self._refused: list[str] = []
        self._refused_count = 0

    @property
    def agrees(self) -> bool:
        """Whether no line was refused."""
        return not self._refused_count

    async def store(self, path: Path) -> None:
        """Store the candles of a file.

        Raises:
            FileError: it is damaged, or not one of such candles; nothing of it is stored.
            PostgresError: or one of `db.pool.OUTAGE`.
        """
        found = await asyncio.to_thread(_read, path)
        await self._target.claim_database_source()
        for start in range(0, len(found.candles), _AT_ONCE):
            candles = found.candles[start : start + _AT_ONCE]
            async with transaction(self._target.pool) as connection:
                self._stored += await store_venue_candles(
                    connection, self._target.symbol, self._interval, candles
                )
        self._candles += len(found.candles)
        room = _SHOWN - len(self._refused)
        self._refused += [f"{path.name}: line {line.number}: {line.reason}" for line in found.refused[:room]]
        self._refused_count += found.refused_count
        if found.candles:
            first_us, last_us = found.candles[0].open_time_us, found.candles[-1].open_time_us
            known = self._span_us or (first_us, last_us)
            self._span_us = min(known[0], first_us), max(known[1], last_us)

    def report(self) -> None:
        """Print what has been stored."""
        text = f"{self._target.symbol} {self._interval}: {self._candles:,} candles, {self._stored:,} stored"
        if self._span_us:
            text += f", from {format_time(self._span_us[0])} to {format_time(self._span_us[1])}"
        if self._refused_count:
            text += f"; {self._refused_count:,} lines are no possible candles:"
            text += "".join(f"\n  {refused}" for refused in self._refused)
        print(text, flush=True)


async def import_candles(
    settings: Settings,
    symbols: Sequence[str],
    intervals: Sequence[str] | None,
    start: date,
    end: date,
    *,
    cache: Path | None,
) -> int:
    """Store the candles of a range of days from Binance's archive, symbol by symbol; return the exit code.

    Args:
        settings: addresses.
        symbols: `venue:SYMBOL` each.
        intervals: stored ones; None: all.
        start: first day.
        end: exclusive.
        cache: the folder of downloads; None: the default.
    """
    for symbol in symbols:
        if symbol.partition(":")[0] != BINANCE:
            raise UsageError(f"{symbol} can't be imported: only Binance has an archive of candles to import")
    folder = (cache or default_cache()).absolute()
    periods = split_periods(start, end, datetime.now(UTC).date())
    _require_months(intervals or (), periods)
    complete = True
    for symbol in symbols:
        async with (
            open_symbol(settings, symbol, application=_APPLICATION, pace_trades=AHEAD_TRADES) as target,
            open_history_client(target.publisher, [settings.binance_archive_url], Proxies()) as client,
        ):
            archive = BinanceArchive(settings.binance_archive_url, client, folder)
            await _warn_of_removal(target, periods[0].start_us)
            for interval in intervals or INTERVALS:
                complete &= await _import_interval(settings, target, archive, interval, periods)
    return 0 if complete else 1


async def _import_interval(
    settings: Settings,
    target: SymbolMaintenance,
    archive: BinanceArchive,
    interval: str,
    periods: Sequence[Period],
) -> bool:
    """Store the candles of one interval; return whether there was a file of each period, without a fault."""
    what = f"{target.symbol} {interval}"
    if interval in ONLY_MONTHS and any(period.is_day for period in periods):
        print(f"{what}: {_ONLY_IN_MONTHS}; the other days are left out", flush=True)
    listing = await find_files(archive, target.symbol, periods, interval)
    complete = report_absent(what, listing)
    files = listing.files
    if not files:
        return complete
    require_space(archive.folder, [file for file in files if not archive.path_of(file.name).exists()])
    await _require_space_for(settings, target, interval, [file.name.period for file in files])
    result = CandleImport(target, interval)
    with progress_bar_or_lines(f"{what}, files") as show:
        for number, file in enumerate(files):
            show(number, len(files))
            await result.store(await archive.download(file))
        show(len(files), len(files))
    result.report()
    return complete and result.agrees


async def import_candle_files(settings: Settings, paths: Sequence[Path]) -> int:
    """Store the candles of files, by symbol and interval; return the exit code."""
    by_kind: dict[tuple[SymbolId, str], list[tuple[Period, Path]]] = {}
    for path in dict.fromkeys(path.absolute() for path in paths):
        file = CandleFile(path)
        file.close()
        by_kind.setdefault((file.symbol, file.interval), []).append((file.period, path))
    agrees = True
    for (symbol, interval), files in by_kind.items():
        async with open_symbol(
            settings, str(symbol), application=_APPLICATION, pace_trades=AHEAD_TRADES
        ) as target:
            await target.publisher.claim_source({})
            await _require_space_for(settings, target, interval, [period for period, _ in files])
            result = CandleImport(target, interval)
            for _, path in files:
                await result.store(path)
            result.report()
            agrees &= result.agrees
    return 0 if agrees else 1


async def _warn_of_removal(target: SymbolMaintenance, start_us: int) -> None:
    async with snapshot(target.pool, timeout_s=_READ_S) as connection:
        limit = await read_retention_limit(connection, "venue_candles")
    if limit is not None and to_datetime(start_us) < limit:
        print(
            f"{target.symbol}: candles before {limit:%Y-%m-%dT%H:%M:%SZ} are removed by age"
            " (TICKPLANT_KEEP_CANDLES_DAYS)",
            flush=True,
        )


def _require_months(intervals: Sequence[str], periods: Sequence[Period]) -> None:
    """Look whether there can be files of intervals that are named.

    Raises:
        UsageError: there can't.
    """
    for interval in intervals:
        if interval in ONLY_MONTHS and all(period.is_day for period in periods):
            raise UsageError(
                f"{interval}: {_ONLY_IN_MONTHS}: name one by --from and --to, or leave out {interval}"
            )


async def _require_space_for(
    settings: Settings, target: SymbolMaintenance, interval: str, periods: Sequence[Period]
) -> None:
    """Look whether the candles of some periods, as many as there can be, fit on the disk of our own database.

    Raises:
        FatalError: they don't.
    """
    if settings.database_url is not None:
        return  # another machine's disk, perhaps
    times_us = min(period.start_us for period in periods), max(period.end_us for period in periods)
    async with snapshot(target.pool, timeout_s=_READ_S) as connection:
        stored = await count_venue_candles(connection, target.symbol, interval, *times_us)
    most = sum((period.end_us - period.start_us) // INTERVALS[interval] for period in periods)
    name, unstored = f"{target.symbol} {interval}", max(0, most - stored)
    require_database_space(folder_in_use(settings), name, unstored, "candles", _CANDLE_BYTES)


def _read(path: Path) -> FileCandles:
    file = CandleFile(path)
    try:
        return file.read()
    finally:
        file.close()
