"""Shared by commands that read the database: opening it, and parsing symbols and times."""

import sys
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.settings import Settings
from tickplant.time_parsing import parse_time_us
from tickplant.times import to_datetime

if TYPE_CHECKING:
    from db.pool import DatabaseConnection
    from maintenance.archive.span import ArchivedSpan

TIME_FORMS: Final = "a date, an RFC 3339 time, or seconds, milliseconds, micro- or nanoseconds since 1970"
"""What `parse_time` parses, for help texts."""


@asynccontextmanager
async def open_database(settings: Settings, *, application: str) -> AsyncIterator["DatabaseConnection"]:
    """Open a connection to the database of the settings.

    Without an address, it is the embedded server: one that already runs on the data folder, as under
    `tickplant up`, or else one that is started for as long as the context.

    Raises:
        FatalError: it can't be reached, or has no tables of tickplant.
    """
    from db.export import open_reader
    from tickplant.local.addresses import open_database_server, print_data_folder

    print_data_folder(settings)
    async with open_database_server(settings) as url, open_reader(url, application=application) as connection:
        yield connection


async def warn_of_removed_trades(
    connection: "DatabaseConnection", symbol: SymbolId, start: datetime, past: "ArchivedSpan"
) -> None:
    """Print to standard error that some of the requested trades have been removed by age, if any were.

    Args:
        connection: to the database.
        symbol: of the trades.
        start: of what was requested.
        past: the days that are read from the archive.
    """
    from db.retention import read_horizon

    horizon = await read_horizon(connection, symbol)
    if horizon is None or start >= horizon:
        return
    text = (
        f"trades of {symbol} before {horizon:%Y-%m-%dT%H:%M:%SZ} have been removed by age"
        " (TICKPLANT_KEEP_TRADES_DAYS)"
    )
    if past.days:
        text += f"; those of {len(past.days):,} days from {past.days[0].day} on are read from the archive"
    print(text, file=sys.stderr)


def find_symbol(text: str, known: Sequence[SymbolId], place: str = "the database") -> SymbolId:
    """Find a symbol by `venue:SYMBOL`, or by `SYMBOL` alone where one venue has it.

    Args:
        text: the name.
        known: all symbols of a place.
        place: where they are, for messages.

    Raises:
        FatalError: there is none, or several; the message names near ones.
    """
    fitting = [symbol for symbol in known if text.lower() in (str(symbol).lower(), symbol.symbol.lower())]
    exact = [symbol for symbol in fitting if text in (str(symbol), symbol.symbol)]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if fitting:
        raise FatalError(f"{text} is ambiguous: {_listed(fitting)}")
    by_name = {str(symbol).lower(): symbol for symbol in known}
    by_name |= {symbol.symbol.lower(): symbol for symbol in known}
    near = dict.fromkeys(by_name[name] for name in get_close_matches(text.lower(), by_name, n=6))
    if near:
        raise FatalError(f"no trades of {text} are stored; did you mean {_listed(list(near))}?")
    stored = f"there are trades of {_listed(known[:10])}" if known else f"{place} has no trades yet"
    raise FatalError(f"no trades of {text} are stored; {stored}{', ...' if len(known) > 10 else ''}")


def parse_time(text: str) -> datetime:
    """Parse a date, an RFC 3339 time (UTC if it has no offset), or a number since the epoch.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    try:
        return to_datetime(parse_time_us(text, lenient=True))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _listed(symbols: Sequence[SymbolId]) -> str:
    return ", ".join(map(str, symbols))
