"""`tickplant symbols`: the symbols that a venue lists."""

from argparse import ArgumentParser, Namespace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.tables import print_json, print_table
from tickplant.errors import FatalError, UsageError
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from ingest.venues.base_rest import ListedSymbol
    from tickplant.settings import Settings

HELP: Final = "list a venue's symbols"

DESCRIPTION: Final = """\
List the symbols of a venue, in the form that TICKPLANT_SYMBOLS takes, with their status: `trading`, or the
venue's own term. PATTERN is part of a name, or a pattern with * and ?; case is ignored.

Finnhub carries the symbols of many exchanges and has no complete list.

The exit code is 0 if any symbol matches, 1 if none matches or the venue can't be reached, and 2 if there is
no such list.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_<VENUE>_REST_URL; HTTPS_PROXY and the like

examples:
  tickplant symbols binance btc
  tickplant symbols coinbase '*-usd'
  tickplant symbols kraken --json
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("venue", metavar="VENUE", help="binance, coinbase or kraken")
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="", help="symbols to list (all)")
    parser.add_argument("--json", action="store_true", help="print them as one JSON document")


def run(args: Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        UsageError: there is no such venue, or it has no list.
        FatalError: no symbol matches, or the venue can't be reached.
    """
    from tickplant.near_matches import NearNames

    listed = interrupts.run(_read(read_settings(), args.venue))
    found = sorted(symbol for symbol in listed if _matches(symbol.name, args.pattern))
    if not found:
        spelt = {symbol.name.lower(): symbol.name for symbol in listed}
        names = [spelt[name] for name in NearNames(spelt).find(args.pattern, most=3)]
        meant = f"; similar symbols are {', '.join(names)}" if names else ""
        raise FatalError(f"{args.venue} lists no symbol like {args.pattern!r}{meant}")
    if args.json:
        print_json([{"symbol": f"{args.venue}:{symbol.name}", "status": symbol.status} for symbol in found])
    else:
        rows = [(f"{args.venue}:{symbol.name}", symbol.status) for symbol in found]
        print_table(f"Symbols of {args.venue}", ("symbol", "status"), rows)
    return 0


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern in name


async def _read(settings: "Settings", name: str) -> "list[ListedSymbol]":
    from ingest.listing import ListingError, fetch_listing
    from ingest.venue_http import open_venue_http
    from ingest.venues import make_adapter
    from ingest.venues.base_rest import ListingAdapter
    from tickplant.proxies import Proxies

    unused_key = "unused" if name == "finnhub" else None  # the list needs none
    venue = make_adapter(name, api_key=unused_key)
    if not isinstance(venue, ListingAdapter):
        raise UsageError(f"{name} has no list of all symbols: look them up at the venue")
    base_url = getattr(settings, f"{name}_rest_url")
    try:
        async with open_venue_http([base_url], Proxies(), timeout_s=20.0) as client:
            return list((await fetch_listing(venue, base_url, client)).values())
    except ListingError as error:
        raise FatalError(f"{name}'s list of symbols can't be read from {base_url}: {error}") from error
