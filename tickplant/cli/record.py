"""`tickplant record`: live frames of venues to capture files."""

import asyncio
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final

from tickplant.cli.durations import parse_duration_s
from tickplant.errors import UsageError
from tickplant.intervals import INTERVALS
from tickplant.market import SymbolId

HELP: Final = "record venues' live frames to capture files, which up --replay plays"

DESCRIPTION: Final = """\
Record what the venues' websockets send for some symbols: one frame a line, preceded by its receive time in
nanoseconds. `tickplant up --replay` and `tickplant sandbox --capture` play the files.

It needs no servers, and runs beside a plant or without one. Frames are written twice a second. A file
is named FILE.part until it is finished; if the recording is killed, that file has everything up to the last
write and can be played as it is. No file is overwritten. Connections that are lost are made again; trades
that were missed meanwhile are not in the capture, and their replay shows them as missing.

A capture has the frames of one venue: with several venues the name of each is added to its file's name, and
with rotation the time of its first frame in UTC, such as day-kraken-20261129T120000Z.ndjson.gz. If PATH is
a folder, it gets files that are named by venue and time. To replay all of them together, name the folder.

Finnhub allows one connection for each API key: recording it ends the connection of a plant with that key.

Ctrl-C finishes the files. The exit code is 0 then, and 1 if a file can't be written or nothing was received.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_SYMBOLS, TICKPLANT_<VENUE>_WS_URL, TICKPLANT_FINNHUB_API_KEY (or _FILE),
  TICKPLANT_LOG_LEVEL; HTTPS_PROXY and the like

examples:
  tickplant record binance:BTCUSDT --output day.ndjson.gz --for 10m
  tickplant record binance:BTCUSDT kraken:BTC/USD --output captures/ --compress zstd --rotate-every 1h
  tickplant up --replay captures/ --once
"""

_SIZES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "symbols",
        type=_symbol,
        metavar="VENUE:SYMBOL",
        nargs="*",
        help="such as binance:BTCUSDT; those of TICKPLANT_SYMBOLS unless given",
    )
    parser.add_argument("--output", required=True, metavar="PATH", help="a file, or a folder")
    parser.add_argument(
        "--compress",
        choices=("gzip", "zstd", "none"),
        help="gzip or zstd by the file's name (.gz, .zst), and gzip in a folder, unless given",
    )
    parser.add_argument(
        "--rotate-size",
        type=_size,
        metavar="SIZE",
        help="begin another file when one has this size, such as 500MB or 2GiB",
    )
    parser.add_argument(
        "--rotate-every",
        choices=tuple(INTERVALS),
        metavar="TIME",
        help=f"begin another file at multiples of this time in UTC: {', '.join(INTERVALS)}",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=parse_duration_s,
        metavar="TIME",
        help="stop after this time, such as 90s, 10m or 2h",
    )


def run(args: Namespace) -> int:
    """Record until SIGTERM, SIGINT or the end of the time.

    Raises:
        UsageError: the arguments contradict each other.
    """
    from ingest.recording.service import Recording
    from ingest.recording.writer import Rotation, capture_path
    from tickplant.cli.venues import venue_addresses
    from tickplant.proxies import Proxies
    from tickplant.service import run_service
    from tickplant.settings_reader import read_settings

    try:
        path = capture_path(args.output, args.compress)
    except ValueError as error:
        raise UsageError(
            f"--compress {args.compress}: {error}; choose another name, or leave it out"
        ) from None
    every_us = None if args.rotate_every is None else INTERVALS[args.rotate_every]
    rotation = Rotation(args.rotate_size, every_us)
    settings, proxies = read_settings(), Proxies()
    symbols = tuple(dict.fromkeys(args.symbols or settings.symbols))

    async def record(stop: asyncio.Event) -> None:
        recording = Recording(symbols, venue_addresses(settings), path, rotation, proxies)
        if args.seconds is not None:
            asyncio.get_running_loop().call_later(args.seconds, stop.set)
        await recording.run(stop)

    return run_service("record", record, settings)


def _symbol(text: str) -> SymbolId:
    try:
        return SymbolId.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,12})((?:[kmg]i?)?)b?", text.lower())
    if match is None or not int(match[1]):
        raise ArgumentTypeError(f"{text!r} is no size: bytes, or a number and kB, MB, GB, KiB, MiB or GiB")
    return int(match[1]) * _SIZES[match[2]]
