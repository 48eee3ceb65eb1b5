"""The sources of trades of `tickplant sandbox`: captures, generated tapes, or generated markets."""

import logging
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from tickplant.errors import FatalError, UsageError

if TYPE_CHECKING:
    from sandbox.captures import CaptureProblem
    from sandbox.source import TradeSource
    from sandbox.tape import Tape
    from sandbox.venue import SandboxVenue
    from tickplant.market import SymbolId

logger = logging.getLogger(__name__)

_RATE: Final = 50.0
_SEED: Final = 1
_SYMBOLS: Final = 3
_SHOWN_PROBLEMS: Final = 20


class _Share(NamedTuple):
    """The trades to generate for one venue."""

    venue: "SandboxVenue"
    symbols: list[str]
    rate: float
    trades: int


def open_sources(args: Namespace) -> "list[TradeSource]":
    """Open the sources that arguments ask for, one a venue.

    Raises:
        FatalError: a capture can't be played, or a symbol can't be generated.
    """
    if not (args.capture or args.count):
        return list(_open_markets(args))
    from sandbox.player import TapePlayer

    speed = None if args.speed == math.inf else args.speed or 1
    tapes = _read_tapes(args) if args.capture else list(_make_tapes(args))
    for tape in tapes:
        _report_tape(tape)
    wanted = _wanted(args, tapes)
    return [TapePlayer(tape, speed=speed, hold=args.hold is not None, wanted=wanted) for tape in tapes]


def _wanted(args: Namespace, tapes: "list[Tape]") -> "tuple[SymbolId, ...] | None":
    """Return the symbols of the tapes that `--hold` names; None where it names none."""
    from maintenance.tape import select_symbols
    from tickplant.market import SymbolId

    if not args.hold:
        return None
    try:
        requested = [SymbolId.parse(name) for name in args.hold]
    except ValueError as error:
        raise FatalError(f"--hold: {error}") from error
    return select_symbols((symbol for tape in tapes for symbol in tape.columns), requested).stored


def _read_tapes(args: Namespace) -> "list[Tape]":
    from sandbox.captures import read_frames
    from sandbox.tape import record

    problems: list[CaptureProblem] = []
    tapes = record(read_frames(args.capture, problems.append), all_frames=args.all_frames)
    _report(problems)
    tapes = [tape for tape in tapes if tape.trades]
    if not tapes:
        raise FatalError("there are no trades in " + ", ".join(map(str, args.capture)))
    return tapes


def _make_tapes(args: Namespace) -> "Iterator[Tape]":
    from sandbox.generator import generate

    for share in _shares(args):
        if share.trades:
            symbols, seed = share.symbols, _seed(args)
            yield generate(symbols, share.trades, rate=share.rate, seed=seed, venue=share.venue)


def _open_markets(args: Namespace) -> "Iterator[TradeSource]":
    from sandbox.journal import Journal
    from sandbox.live import MIN_JOURNALED, LiveSource
    from tickplant.clock import now_us

    for venue, symbols, rate, _ in _shares(args):
        journal = Journal(args.state / f"{venue.name}.jsonl", kept=MIN_JOURNALED) if args.state else None
        yield LiveSource(
            venue,
            symbols,
            rate=rate,
            seed=_seed(args),
            hold=args.hold is not None,
            clock_us=now_us,
            journal=journal,
        )


def _shares(args: Namespace) -> Iterator[_Share]:
    """Yield the trades to generate for each venue: rate and count in proportion to its symbols."""
    from sandbox.venues import VENUES

    grouped = _symbols(args)
    total = sum(map(len, grouped.values()))
    rate, count, end = args.rate or _RATE, args.count or 0, 0
    for name, symbols in grouped.items():
        start, end = end, end + len(symbols)
        trades = count * end // total - count * start // total
        yield _Share(VENUES[name], symbols, rate * len(symbols) / total, trades)


def _symbols(args: Namespace) -> dict[str, list[str]]:
    """Return the symbols to generate by venue."""
    from sandbox.generator import name_symbols
    from sandbox.venues import VENUES
    from tickplant.market import SymbolId

    if not args.symbols:
        return {"binance": name_symbols(args.symbol_count or _SYMBOLS)}
    grouped: dict[str, dict[str, None]] = {}
    for name in args.symbols:
        try:
            symbol = SymbolId.parse(name)
        except ValueError as error:
            raise UsageError(f"--symbols: {error}") from error
        venue = VENUES.get(symbol.venue)
        if venue is None or not venue.is_symbol(symbol.symbol):
            known = [venue] if venue else VENUES.values()
            examples = ", ".join(f"{sample.name}:{sample.example}" for sample in known)
            raise UsageError(f"--symbols: {name}: the sandbox generates only symbols such as {examples}")
        grouped.setdefault(symbol.venue, {})[symbol.symbol] = None
    return {venue: list(symbols) for venue, symbols in grouped.items()}


def _seed(args: Namespace) -> int:
    return _SEED if args.seed is None else int(args.seed)


def _report(problems: "list[CaptureProblem]") -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        print(f"skipped {problem}", file=sys.stderr)
    if len(problems) > _SHOWN_PROBLEMS:
        print(f"skipped {len(problems):,} lines in total", file=sys.stderr)


def _report_tape(tape: "Tape") -> None:
    name, symbols = tape.venue.name, len(tape.columns)
    trades, megabytes = f"{tape.trades:,}", tape.bytes_used / 1e6
    logger.info("%s: the tape has %s trades of %d symbols (%.0f MB)", name, trades, symbols, megabytes)
