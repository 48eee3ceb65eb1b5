"""`tickplant sandbox`: a local venue, from captures or generated."""

import argparse
import asyncio
import logging
import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant.errors import FatalError

if TYPE_CHECKING:
    from sandbox.captures import Problem
    from sandbox.faults import Plan
    from sandbox.limits import Limits
    from sandbox.source import Source
    from sandbox.tape import Tape
    from sandbox.venue import Venue

logger = logging.getLogger(__name__)

_SHOWN_PROBLEMS: Final = 20

HELP: Final = """\
Run local venues that speak the real ones' own protocols, websockets and REST, on one port.

Their trades come from captures (--capture), or are generated: without end and in real time, or, with --count,
as a tape of so many. When all is ready it prints one line of JSON with the addresses; the state is at
REST-URL/sandbox/status. Point ingest at a venue with TICKPLANT_<VENUE>_WS_URL and TICKPLANT_<VENUE>_REST_URL.

With --faults SEED things go wrong, the same for the same seed: frames are lost, doubled, reordered, broken;
connections end, fall silent or become slow, subscriptions and requests are refused, clocks are off. What is
lost stays in REST history. The status counts each fault, and the bans of clients that go beyond a limit.

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
    _add_trouble(parser)


def _add_trouble(parser: ArgumentParser) -> None:
    parser.add_argument("--faults", type=int, metavar="SEED", help="let things go wrong by this seed")
    parser.add_argument(
        "--fault-rate", type=_rate, metavar="N", help="times as often as usual (1); with --faults"
    )
    parser.add_argument(
        "--fault",
        nargs="+",
        metavar="NAME[=CHANCE]",
        help="only these, with a chance for each frame, connection or request; with --faults",
    )
    parser.add_argument(
        "--no-history",
        type=int,
        nargs="?",
        choices=(404, 503),
        const=404,
        metavar="404|503",
        help="answer requests for past trades with this status (404)",
    )
    parser.add_argument(
        "--limits",
        nargs="+",
        default=[],
        metavar="VENUE:NAME=N[,NAME=N...]",
        help="ban clients that go beyond other limits than the venue's own, such as"
        " coinbase:streams_per_connection=10,messages_per_s=1,connects=5,connects_window_s=10,ban_s=30",
    )


def run(args: Namespace) -> int:
    """Serve the venue until SIGTERM or SIGINT."""
    from tickplant.service import run_service
    from tickplant.settings import read_settings

    _check(args)

    async def main(stop: asyncio.Event) -> None:
        await _serve(_open_sources(args), args, stop)

    return run_service("sandbox", main, read_settings())


async def _serve(sources: "list[Source]", args: Namespace, stop: asyncio.Event) -> None:
    import msgspec

    from sandbox.server import Options, serve

    waits = args.speed == math.inf
    options = Options(
        limits=_limits(args.limits),
        history_status=args.no_history,
        plan=_plan(args),
        ping_timeout_s=None if waits else Options().ping_timeout_s,
    )
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


def _open_sources(args: Namespace) -> "list[Source]":
    from sandbox.player import Player

    if args.capture or args.count:
        speed = None if args.speed == math.inf else args.speed or 1
        tapes = _read_tapes(args) if args.capture else _make_tapes(args)
        for tape in tapes:
            _report_tape(tape)
        return [Player(tape, speed=speed, hold=args.hold) for tape in tapes]
    return _open_markets(args)


def _read_tapes(args: Namespace) -> "list[Tape]":
    from sandbox.captures import read_frames
    from sandbox.tape import record

    problems: list[Problem] = []
    tapes = record(read_frames(args.capture, problems.append), all_frames=args.all_frames)
    _report(problems)
    if not any(tape.trades for tape in tapes):
        raise FatalError("there are no trades in " + ", ".join(map(str, args.capture)))
    return tapes


def _make_tapes(args: Namespace) -> "list[Tape]":
    from sandbox.generator import generate

    shares = _shares(args, args.count)
    return [
        generate(symbols, int(count), rate=rate, seed=_seed(args), venue=venue)
        for venue, symbols, rate, count in shares
        if count >= 1
    ]


def _open_markets(args: Namespace) -> "list[Source]":
    from sandbox.live import Live
    from tickplant.clock import now_us

    return [
        Live(venue, symbols, rate=rate, seed=_seed(args), hold=args.hold, clock_us=now_us)
        for venue, symbols, rate, _ in _shares(args, 0)
    ]


def _shares(args: Namespace, count: int) -> "list[tuple[Venue, list[str], float, int]]":
    """Return, of each venue that is to be made up, its symbols and its share of the rate and the count."""
    from sandbox.venues import VENUES

    grouped = _symbols(args)
    total = sum(map(len, grouped.values()))
    shares, begun = [], 0
    for name, symbols in grouped.items():
        begun, before = begun + len(symbols), begun
        trades = count * begun // total - count * before // total
        shares.append((VENUES[name], symbols, (args.rate or 50) * len(symbols) / total, trades))
    return shares


def _seed(args: Namespace) -> int:
    return 1 if args.seed is None else int(args.seed)


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
    for name in ("fault", "fault_rate"):
        if getattr(args, name) is not None and args.faults is None:
            raise FatalError(f"--{name.replace('_', '-')} needs --faults SEED")
    if args.speed is not None and not (args.capture or args.count):
        raise FatalError("--speed needs a tape: --capture, or --count")


def _symbols(args: Namespace) -> dict[str, list[str]]:
    """Return the symbols that are to be made up, by venue."""
    from sandbox.generator import name_symbols
    from sandbox.venues import VENUES
    from tickplant.market import SymbolId

    if not args.symbols:
        return {"binance": name_symbols(args.symbol_count or 3)}
    grouped: dict[str, dict[str, None]] = {}
    for name in args.symbols:
        try:
            symbol = SymbolId.parse(name)
        except ValueError as error:
            raise FatalError(f"--symbols: {error}") from error
        venue = VENUES.get(symbol.venue)
        if venue is None or not venue.is_symbol(symbol.symbol):
            known = [venue] if venue else VENUES.values()
            examples = " or ".join(f"{each.name}:{each.example}" for each in known)
            raise FatalError(f"--symbols: {name}: the sandbox makes symbols such as {examples} only")
        grouped.setdefault(symbol.venue, {})[symbol.symbol] = None
    return {venue: list(symbols) for venue, symbols in grouped.items()}


def _plan(args: Namespace) -> "Plan | None":
    """Return what is to go wrong.

    Raises:
        FatalError: a fault is unknown, or its chance none.
    """
    from sandbox.faults import USUAL, Fault, Plan

    if args.faults is None:
        return None
    chances = dict(USUAL)
    if args.fault:
        chances = {}
        for text in args.fault:
            name, _, chance = text.partition("=")
            if name not in list(Fault):
                raise FatalError(f"--fault: there is no {name!r}; there are {', '.join(Fault)}")
            chances[Fault(name)] = _chance(text, chance) if chance else USUAL[Fault(name)]
    rate = args.fault_rate or 1
    return Plan(args.faults, {fault: min(1.0, chance * rate) for fault, chance in chances.items()})


def _chance(text: str, chance: str) -> float:
    try:
        number = float(chance)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise FatalError(f"--fault {text}: a chance is a number from 0 to 1")
    return number


def _limits(texts: list[str]) -> "dict[str, Limits]":
    """Return other limits than the venues' own.

    Raises:
        FatalError: a venue or a limit is unknown, or a number none.
    """
    import msgspec

    from sandbox.limits import Limits
    from sandbox.venues import VENUES

    limits: dict[str, Limits] = {}
    for text in texts:
        name, _, settings = text.partition(":")
        if name not in VENUES:
            raise FatalError(f"--limits {text}: there is no venue {name!r}; there are {', '.join(VENUES)}")
        fields = msgspec.to_builtins(limits.get(name, VENUES[name].limits))
        changes = dict(setting.partition("=")[::2] for setting in settings.split(","))
        unknown = changes.keys() - fields.keys()
        if unknown:
            known = ", ".join(fields)
            raise FatalError(f"--limits {text}: there is no {', '.join(sorted(unknown))}; there are {known}")
        try:
            limits[name] = msgspec.convert({**fields, **changes}, Limits, strict=False)
        except msgspec.ValidationError as error:
            raise FatalError(f"--limits {text}: {error}") from error
    return limits


def _report(problems: list["Problem"]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        print(f"left out {problem}", file=sys.stderr)
    if len(problems) > _SHOWN_PROBLEMS:
        print(f"left out {len(problems):,} lines in all", file=sys.stderr)


def _report_tape(tape: "Tape") -> None:
    trades, megabytes = f"{tape.trades:,}", tape.bytes_used / 1e6
    name, symbols = tape.venue.name, len(tape.histories)
    logger.info("%s: the tape has %s trades of %d symbols (%.0f MB)", name, trades, symbols, megabytes)


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
