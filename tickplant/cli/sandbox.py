"""`tickplant sandbox`: a local venue, from captures or generated."""

import argparse
import asyncio
import json
import logging
import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant.errors import FatalError

if TYPE_CHECKING:
    from sandbox.captures import Problem
    from sandbox.source import Source
    from sandbox.tape import Tape

logger = logging.getLogger(__name__)

_SHOWN_PROBLEMS: Final = 20

HELP: Final = """\
Run a local venue that speaks Binance's own protocol, websockets and REST, on one port.

Its trades come from captures (--capture), or are generated: without end and in real time, or, with --count,
as a tape of so many. When it is ready it prints one line of JSON with its addresses; the state is at
REST-URL/sandbox/status. Point ingest at it with TICKPLANT_BINANCE_WS_URL and TICKPLANT_BINANCE_REST_URL.

A capture has one frame a line, which the time of receiving in nanoseconds may precede; plain, gzip or zstd.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0: any free one (%(default)s)"
    )
    parser.add_argument(
        "--capture",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="play these files, and the captures in these directories, merged by time",
    )
    parser.add_argument(
        "--all-frames", action="store_true", help="send the captures' frames that are no trades, too"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="N|max",
        help="of a tape: times faster than recorded (1), or max: as fast as the slowest client reads",
    )
    parser.add_argument("--hold", action="store_true", help="wait until every symbol is subscribed to")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="generate these, such as binance:BTCUSDT"
    )
    chosen.add_argument("--symbol-count", type=_positive, metavar="N", help="generate so many symbols (3)")
    parser.add_argument(
        "--rate", type=_rate, metavar="N", help="generated trades a second, all symbols together (50)"
    )
    parser.add_argument("--seed", type=int, help="what is generated follows from it (1)")
    parser.add_argument("--count", type=_positive, metavar="N", help="generate a tape of so many trades")


def run(args: Namespace) -> int:
    """Serve the venue until SIGTERM or SIGINT."""
    from tickplant.service import run_service
    from tickplant.settings import read_settings

    _check(args)

    async def main(stop: asyncio.Event) -> None:
        await _serve(_open_source(args), args, stop)

    return run_service("sandbox", main, read_settings())


async def _serve(source: "Source", args: Namespace, stop: asyncio.Event) -> None:
    from sandbox.server import Limits, serve

    waits = args.speed == math.inf
    limits = Limits(ping_timeout_s=None) if waits else Limits()
    try:
        async with serve(source, args.host, args.port, limits=limits) as running:
            symbols = [str(symbol) for symbol in source.symbols]
            ready = {"ws_url": running.ws_url, "rest_url": running.rest_url, "symbols": symbols}
            print(json.dumps(ready), flush=True)
            await _until(stop, running.playing)
    except OSError as error:
        raise FatalError(
            f"can't listen on {args.host}:{args.port}: {error.strerror}; try --port 0"
        ) from error


async def _until(stop: asyncio.Event, playing: asyncio.Task[None]) -> None:
    """Wait to be stopped; a tape that has ended goes on being served, one that failed raises."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, playing], return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        playing.result()
    await stopping


def _open_source(args: Namespace) -> "Source":
    from sandbox.generator import generate, name_symbols
    from sandbox.live import Live
    from sandbox.player import Player
    from sandbox.tape import record
    from tickplant.clock import now_us

    speed = None if args.speed == math.inf else args.speed or 1
    if args.capture:
        from sandbox.captures import read_frames

        problems: list[Problem] = []
        tape = record(read_frames(args.capture, problems.append), all_frames=args.all_frames)
        _report(problems)
        if not tape.trades:
            raise FatalError("there are no trades in " + ", ".join(map(str, args.capture)))
        _report_tape(tape)
        return Player(tape, speed=speed, hold=args.hold)
    symbols = _symbols(args.symbols) if args.symbols else name_symbols(args.symbol_count or 3)
    rate, seed = args.rate or 50, 1 if args.seed is None else args.seed
    if args.count:
        tape = generate(symbols, args.count, rate=rate, seed=seed)
        _report_tape(tape)
        return Player(tape, speed=speed, hold=args.hold)
    return Live(symbols, rate=rate, seed=seed, hold=args.hold, clock_us=now_us)


def _check(args: Namespace) -> None:
    """Refuse arguments that would have no effect.

    Raises:
        FatalError: naming them.
    """
    generating = ("symbols", "symbol_count", "rate", "seed", "count")
    for name in generating if args.capture else ():
        if getattr(args, name) is not None:
            raise FatalError(
                f"--{name.replace('_', '-')} says how to generate trades, --capture plays recorded ones:"
                " leave out one of the two"
            )
    if args.all_frames and not args.capture:
        raise FatalError("--all-frames needs --capture")
    if args.speed is not None and not (args.capture or args.count):
        raise FatalError("--speed needs a tape: --capture, or --count")


def _symbols(names: list[str]) -> list[str]:
    from tickplant.market import SymbolId

    symbols: dict[str, None] = {}
    for name in names:
        try:
            symbol = SymbolId.parse(name)
        except ValueError as error:
            raise FatalError(f"--symbols: {error}") from error
        if symbol.venue != "binance" or not symbol.symbol.isalnum() or symbol.symbol != symbol.symbol.upper():
            raise FatalError(f"--symbols: {name}: the sandbox makes symbols such as binance:BTCUSDT only")
        symbols[symbol.symbol] = None
    return list(symbols)


def _report(problems: list["Problem"]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        print(f"left out {problem}", file=sys.stderr)
    if len(problems) > _SHOWN_PROBLEMS:
        print(f"left out {len(problems):,} lines in all", file=sys.stderr)


def _report_tape(tape: "Tape") -> None:
    trades, megabytes = f"{tape.trades:,}", tape.bytes_used / 1e6
    logger.info("the tape has %s trades of %d symbols (%.0f MB)", trades, len(tape.histories), megabytes)


def _speed(text: str) -> float:
    """Parse a speed; infinity stands for `max`."""
    if text == "max":
        return math.inf
    return _rate(text)


def _rate(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a number") from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
