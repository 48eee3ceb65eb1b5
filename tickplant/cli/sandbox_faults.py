"""Arguments of `tickplant sandbox` for faults: faults by seed, history switched off, own limits."""

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from tickplant.errors import UsageError

if TYPE_CHECKING:
    from sandbox.faults import FaultPlan
    from sandbox.limits import SandboxLimits


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--faults", type=int, metavar="SEED", help="inject faults by this seed")
    parser.add_argument(
        "--fault-rate", type=above_zero, metavar="N", help="times as often as usual (1); with --faults"
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
        help="answer requests for history with this status (404)",
    )
    parser.add_argument(
        "--limits",
        nargs="+",
        default=[],
        metavar="VENUE:LIMITS",
        help="ban clients that go beyond other limits than the venue's own: VENUE:NAME=N[,NAME=N...], where"
        " names are streams_per_connection, messages_per_s, connects, connects_window_s and ban_s",
    )


def check(args: Namespace) -> None:
    """Refuse arguments that would have no effect.

    Raises:
        UsageError: naming them.
    """
    for name in ("fault", "fault_rate"):
        if getattr(args, name) is not None and args.faults is None:
            raise UsageError(f"--{name.replace('_', '-')} needs --faults SEED")


def read_plan(args: Namespace) -> "FaultPlan | None":
    """Return the faults to inject.

    Raises:
        UsageError: a fault is unknown, or its chance none.
    """
    from sandbox.faults import DEFAULT_CHANCES, Fault, FaultPlan

    if args.faults is None:
        return None
    chances = {} if args.fault else dict(DEFAULT_CHANCES)
    for text in args.fault or ():
        name, _, chance = text.partition("=")
        if name not in list(Fault):
            raise UsageError(f"--fault {text}: there is no such fault; there are {', '.join(Fault)}")
        chances[Fault(name)] = _chance(text, chance) if chance else DEFAULT_CHANCES.get(Fault(name), 1.0)
    rate = args.fault_rate or 1
    return FaultPlan(args.faults, {fault: min(1.0, chance * rate) for fault, chance in chances.items()})


def read_limits(args: Namespace) -> "dict[str, SandboxLimits]":
    """Return other limits than the venues' own, by venue.

    Raises:
        UsageError: a venue or a limit is unknown, or a number none.
    """
    import msgspec

    from sandbox.limits import SandboxLimits
    from sandbox.venues import VENUES

    limits: dict[str, SandboxLimits] = {}
    for text in args.limits:
        name, _, settings = text.partition(":")
        if name not in VENUES:
            raise UsageError(f"--limits {text}: there is no such venue; there are {', '.join(VENUES)}")
        fields = msgspec.to_builtins(limits.get(name, VENUES[name].limits))
        changes = dict(setting.partition("=")[::2] for setting in settings.split(","))
        unknown = ", ".join(sorted(changes.keys() - fields.keys()))
        if unknown:
            known = ", ".join(fields)
            raise UsageError(f"--limits {text}: there is no limit {unknown!r}; there are {known}")
        try:
            limits[name] = msgspec.convert({**fields, **changes}, SandboxLimits, strict=False)
        except msgspec.ValidationError as error:
            raise UsageError(f"--limits {text}: {error}") from error
    return limits


def above_zero(text: str) -> float:
    """Parse a number above zero."""
    try:
        number = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def _chance(text: str, chance: str) -> float:
    try:
        number = float(chance)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise UsageError(f"--fault {text}: a chance is a number from 0 to 1")
    return number
