"""Validation of trades, the same in ingest and in workers. Pure.

A trade is judged alone: one that is rejected takes none of its neighbours along.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from tickplant.errors import PoisonError
from tickplant.market import MAX_DECIMAL_CHARS, Trade, is_decimal

MAX_TRADE_ID: Final = 2**63 - 2
"""What fits into the ledger of ids, with a number to spare for exclusive bounds."""

EARLIEST_US: Final = 31_536_000_000_000
"""1971-01-01: a time before it is a mistake, such as seconds that were taken for milliseconds."""

LATEST_US: Final = 4_102_444_800_000_000
"""2100-01-01: a time from then on is a mistake, and would close every open candle."""

MAX_NAME_CHARS: Final = 64

ZEROS: Final = frozenset(
    "0" * whole + "." * point + "0" * fraction
    for whole in range(MAX_DECIMAL_CHARS + 1)
    for point in (0, 1)
    for fraction in range(MAX_DECIMAL_CHARS + 1 - whole - point if point else 1)
    if whole + fraction
)
"""All ways to write zero."""

_decimals = re.compile(r"(?:(?:[0-9]++\.?+[0-9]*+|\.[0-9]++),)++").fullmatch


class Rejected(NamedTuple):
    """A trade that can't be stored."""

    trade: Trade
    reason: str


def reject_reason(trade: Trade) -> str | None:
    """Return why a trade can't be stored; None if it can."""
    if (
        is_decimal(trade.price)
        and is_decimal(trade.size)
        and 0 <= trade.trade_id <= MAX_TRADE_ID
        and EARLIEST_US <= trade.event_time_us < LATEST_US
        and 0 <= trade.ingest_time_us < LATEST_US
        and is_name(trade.symbol)
        and is_name(trade.venue)
    ):
        return None
    return _describe(trade)


def reject_reason_of_time(time_us: int) -> str | None:
    """Return why a venue's time can't be one; None if it can."""
    if EARLIEST_US <= time_us < LATEST_US:
        return None
    return f"time out of range (before 1971 or after 2099): {time_us} us since the epoch"


def check_trade(trade: Trade) -> Trade:
    """Return the trade if it can be stored.

    Raises:
        PoisonError: it can't; the message says why.
    """
    fault = reject_reason(trade)
    if fault is not None:
        raise PoisonError(fault)
    return trade


def split_valid(trades: Sequence[Trade]) -> tuple[Sequence[Trade], list[Rejected]]:
    """Separate the trades that can be stored from those that can't.

    Returns:
        Those that can, in their order, the same object where all can; and those that can't.
    """
    if _all_fine(trades):
        return trades, []
    faults = [(trade, reject_reason(trade)) for trade in trades]
    accepted = [trade for trade, fault in faults if fault is None]
    return accepted, [Rejected(trade, fault) for trade, fault in faults if fault is not None]


def _describe(trade: Trade) -> str:
    """Return what is wrong with a trade that can't be stored."""
    for name, what in ((trade.venue, "venue"), (trade.symbol, "symbol")):
        if not is_name(name):
            return f"{what} is not a name: {name[:60]!r}"
    for number, what in ((trade.price, "price"), (trade.size, "size")):
        if not is_decimal(number):
            return f"{what} is not a plain decimal: {number[:60]!r}"
    if not 0 <= trade.trade_id <= MAX_TRADE_ID:
        return f"trade id out of range: {trade.trade_id}"
    return reject_reason_of_time(trade.event_time_us) or (
        f"ingest time out of range: {trade.ingest_time_us} us since the epoch"
    )


def _all_fine(trades: Sequence[Trade]) -> bool:
    return are_fine(
        {trade.venue for trade in trades} | {trade.symbol for trade in trades},
        [trade.trade_id for trade in trades],
        [trade.price for trade in trades] + [trade.size for trade in trades],
        [trade.event_time_us for trade in trades],
        [trade.ingest_time_us for trade in trades],
    )


def are_fine(
    names: Collection[str],
    ids: Sequence[int],
    numbers: Sequence[str],
    event_times_us: Sequence[int],
    ingest_times_us: Sequence[int],
) -> bool:
    """Return whether `reject_reason` finds nothing wrong with any of some trades, in a fifth of the time.

    Args:
        names: every venue and symbol of them.
        ids: theirs, as all that follows.
        numbers: prices and sizes, in any order.
        event_times_us: the venue's times.
        ingest_times_us: ours.
    """
    if not ids:
        return True
    text = ",".join(numbers) + ","
    if _decimals(text) is None or text.count(",") > len(numbers):
        return False
    if max(map(len, numbers)) > MAX_DECIMAL_CHARS:
        return False
    return (
        min(ids) >= 0
        and max(ids) <= MAX_TRADE_ID
        and min(event_times_us) >= EARLIEST_US
        and max(event_times_us) < LATEST_US
        and min(ingest_times_us) >= 0
        and max(ingest_times_us) < LATEST_US
        and all(map(is_name, names))
    )


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Return whether a text can be the name of a venue or symbol: short, printable, no space or backslash."""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable() and not {" ", "\\"} & {*text}
