"""`tickplant sandbox`: a local venue, from captures or generated."""

import argparse
import asyncio
import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant.cli import sandbox_faults
from tickplant.errors import FatalError, UsageError
from tickplant.network_errors import system_reason

if TYPE_CHECKING:
    from sandbox.server import SandboxOptions
    from sandbox.source import TradeSource
    from tickplant.probes import ServiceReadiness

HELP: Final = "run a local venue that plays captures or generated trades"

DESCRIPTION: Final = """\
Run local venues on one port, with the protocols of the real ones, websockets and REST.

Trades come from captures (--capture), or are generated: endlessly and in real time, or as a tape of a fixed
number of trades (--count). When ready, it prints one line of JSON with the addresses; its state is at
REST-URL/sandbox/status. Point ingest at a venue with TICKPLANT_<VENUE>_WS_URL and TICKPLANT_<VENUE>_REST_URL.

--faults SEED injects faults, the same ones for the same seed: frames are lost, duplicated, reordered or
malformed; connections end, fall silent or become slow; subscriptions and requests are refused; clocks are
off. What is lost stays in REST history. The status counts each fault, and the bans of clients that exceed a
limit.

Faults of frames: lost duplicated reordered malformed mistyped oversized dropped mute slow shutdown. Of
connections: refused ignored skewed. Of REST requests: rest-429 rest-418 rest-5xx rest-retry-after skewed. Of
REST history: history-lagging history-omitting history-foreign history-broken history-unreadable.

A capture has one frame a line, optionally preceded by the time of receipt in nanoseconds; plain, gzip or
zstd. A directory may hold captures of several venues: each venue plays its own from the start.
"""

EXAMPLES: Final = """\
examples:
  tickplant sandbox --capture captures/ --speed max --hold
  tickplant sandbox --symbols binance:BTCUSDT coinbase:BTC-USD kraken:BTC/USD finnhub:AAPL --rate 200
  tickplant sandbox --capture day.gz --speed 60 --faults 7
  tickplant sandbox --count 100000 --speed 20 --faults 7 --fault lost=0.01 mute=0.0001 --no-history
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=0, help="port to listen on; 0: any free one (%(default)s)"
    )
    parser.add_argument(
        "--capture",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="play these files, and the captures in these directories, merged by time",
    )
    parser.add_argument(
        "--all-frames", action="store_true", help="also send the captures' frames that are not trades"
    )
    parser.add_argument(
        "--speed",
        type=parse_speed,
        metavar="N|max",
        help="of a tape: times faster than recorded (1), or max: as fast as the slowest client reads",
    )
    parser.add_argument(
        "--hold",
        nargs="*",
        metavar="SYMBOL",
        help="start the tape when every symbol is subscribed to, or, with symbols, when those of them that it"
        " has are; a tape that has none of them is not played",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="generate these, such as binance:BTCUSDT"
    )
    chosen.add_argument("--symbol-count", type=_positive, metavar="N", help="generate this many symbols (3)")
    parser.add_argument(
        "--rate",
        type=sandbox_faults.above_zero,
        metavar="N",
        help="generated trades a second, all symbols together (50)",
    )
    parser.add_argument("--seed", type=int, help="the seed of generated trades (1)")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="store generated markets here: the next start continues their ids and prices, and REST serves"
        " their history",
    )
    parser.add_argument("--count", type=_positive, metavar="N", help="generate a tape of this many trades")
    sandbox_faults.add_arguments(parser)


def run(args: Namespace) -> int:
    """Serve the venue until SIGTERM or SIGINT."""
    from tickplant.cli.sandbox_sources import open_sources
    from tickplant.probes import ServiceReadiness
    from tickplant.service import run_service
    from tickplant.settings_reader import read_settings

    _check(args)
    sandbox_faults.check(args)
    options, readiness = _options(args), ServiceReadiness()

    async def main(stop: asyncio.Event) -> None:
        await _serve(open_sources(args), args, options, readiness, stop)

    return run_service("sandbox", main, read_settings(), readiness=readiness)


def _options(args: Namespace) -> "SandboxOptions":
    from sandbox.server import SandboxOptions

    waits = args.speed == math.inf
    return SandboxOptions(
        limits=sandbox_faults.read_limits(args),
        history_status=args.no_history,
        plan=sandbox_faults.read_plan(args),
        ping_timeout_s=None if waits else SandboxOptions().ping_timeout_s,
    )


async def _serve(
    sources: "list[TradeSource]",
    args: Namespace,
    options: "SandboxOptions",
    readiness: "ServiceReadiness",
    stop: asyncio.Event,
) -> None:
    import msgspec

    from sandbox.server import serve

    try:
        async with serve(sources, args.host, args.port, options=options) as running:
            symbols = [str(symbol) for source in sources for symbol in source.symbols]
            ready = {
                "ws_url": running.ws_url,
                "rest_url": running.rest_url,
                "symbols": symbols,
                "venues": running.addresses,
            }
            print(msgspec.json.encode(ready).decode(), flush=True)
            readiness.note("sandbox", None)
            await _until(stop, running.playing)
    except OSError as error:
        if error.filename is not None:
            raise FatalError(f"{error.filename}: {error.strerror}; name another path") from error
        advice = "try --port 0" if args.port else "try another --host"
        raise FatalError(
            f"can't listen on {args.host}:{args.port}: {system_reason(error) or error.strerror}; {advice}"
        ) from error


async def _until(stop: asyncio.Event, playing: asyncio.Task[None]) -> None:
    """Wait until stopped; a tape that has ended is still served, one that failed raises its error."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, playing], return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        playing.result()
    await stopping


def _check(args: Namespace) -> None:
    """Refuse arguments that would have no effect.

    Raises:
        UsageError: naming them.
    """
    generating = ("symbols", "symbol_count", "rate", "seed", "count")
    for name in generating if args.capture else ():
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} configures generated trades, --capture plays recorded ones:"
                " leave out one of the two"
            )
    for path in args.capture or ():
        if not path.exists():
            raise UsageError(f"--capture: there is no {path}")
    if args.state and (args.capture or args.count):
        raise UsageError("--state is for markets without end: leave out --capture and --count")
    if args.all_frames and not args.capture:
        raise UsageError("--all-frames needs --capture")
    if args.speed is not None and not (args.capture or args.count):
        raise UsageError("--speed needs a tape: --capture, or --count")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return port


def parse_speed(text: str) -> float:
    """Parse a speed; infinity stands for `max`."""
    if text == "max":
        return math.inf
    return sandbox_faults.above_zero(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
