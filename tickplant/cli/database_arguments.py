"""Shared by commands that read the database: opening it, and parsing symbols and times."""

import sys
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.settings import Settings
from tickplant.time_parsing import is_epoch_number, parse_time_us
from tickplant.times import to_datetime

if TYPE_CHECKING:
    from db.pool import DatabaseConnection


@asynccontextmanager
async def open_database(settings: Settings, *, application: str) -> AsyncIterator["DatabaseConnection"]:
    """Open a connection to the database of the settings.

    Without an address the embedded server is meant: the one that runs already on the data folder (under
    `tickplant up`, say), or else one that is started for the time being.

    Raises:
        FatalError: it can't be reached, or holds nothing of tickplant's.
    """
    from db.export import open_reader
    from tickplant.local.addresses import open_database_server, tell_database

    tell_database(settings)
    async with open_database_server(settings) as url, open_reader(url, application=application) as connection:
        yield connection


async def tell_removed(connection: "DatabaseConnection", symbol: SymbolId, start: datetime) -> None:
    """Say on the standard error what is left out, where trades are asked for that were removed by age."""
    from db.retention import read_horizon

    horizon = await read_horizon(connection, symbol)
    if horizon is not None and start < horizon:
        print(
            f"trades of {symbol} before {horizon:%Y-%m-%dT%H:%M:%SZ} have been removed by age"
            " (TICKPLANT_KEEP_TRADES_DAYS)",
            file=sys.stderr,
        )


def find_symbol(text: str, known: Sequence[SymbolId]) -> SymbolId:
    """Find a symbol by `venue:SYMBOL`, or by `SYMBOL` alone where one venue has it.

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
    stored = f"there are trades of {_listed(known[:10])}" if known else "the database has no trades yet"
    raise FatalError(f"no trades of {text} are stored; {stored}{', ...' if len(known) > 10 else ''}")


def parse_moment(text: str) -> datetime:
    """Parse a date, an ISO 8601 time (UTC where it has no offset), or a number since the epoch.

    The magnitude of a number tells its unit, as in the API. Eight digits are a date without its hyphens.

    Raises:
        ArgumentTypeError: it is none of these.
    """
    try:
        if is_epoch_number(text) and len(text) != len("20240808"):
            return to_datetime(parse_time_us(text))
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r} is not a time: write a date (2024-08-08), an RFC 3339 time (2024-08-08T23:55:00Z),"
            " or seconds, milliseconds, microseconds or nanoseconds since 1970 (1723161300)"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _listed(symbols: Sequence[SymbolId]) -> str:
    return ", ".join(map(str, symbols))
