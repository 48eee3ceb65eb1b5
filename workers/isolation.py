"""Isolation: trades excluded from a partition's transactions, since the database refuses them. Pure.

A symbol whose trades are refused repeatedly is isolated for a time, so that the search for refused rows does
not slow the other symbols; then it is retried.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tickplant import wire
from tickplant.errors import PoisonError
from tickplant.kernel import decode_trades, encode_trades
from tickplant.market import SymbolId, Trade
from tickplant.wire import Verdict
from workers.ranges import Ranges

Fields = dict[bytes, bytes]

NO_TRADES: Final[Fields] = {wire.TRADES: encode_trades([])}
"""An entry without content."""

_TRADES: Final = (wire.TRADES, wire.UNNUMBERED, wire.HISTORICAL)
_TOLERATED_REFUSALS: Final = 3
"""How often a symbol's refused trades are searched for before it is isolated."""
_MAX_ISOLATED_S: Final = 600.0
_FORGET_AFTER_S: Final = 3_600.0
"""Time without a refusal after which earlier ones no longer count."""
_MAX_REFUSED: Final = 10_000
"""Ranges of refused ids remembered of a symbol, the newest; the others become open gaps."""


class EntryPart(NamedTuple):
    """One symbol's part of an entry; the whole entry if it can't be split."""

    symbol: SymbolId | None
    fields: Fields
    trades: Sequence[Trade] = ()


class _Refusals:
    """The refusals of one symbol's trades."""

    __slots__ = ("count", "isolated_until_s", "last_s", "reason", "refused", "unreported")

    def __init__(self) -> None:
        self.count = 0
        self.last_s = 0.0
        self.isolated_until_s = 0.0
        self.reason = ""
        self.refused = Ranges()
        self.unreported = Ranges()
        """The refused ids for which no verdict has been applied to the current state."""

    def add(self, trades: Iterable[Trade]) -> None:
        """Remember the ids of refused trades, within bounds."""
        for trade in trades:
            self.refused.add(trade.trade_id, trade.trade_id)
            self.unreported.add(trade.trade_id, trade.trade_id)
        for low, high in self.refused.members[:-_MAX_REFUSED]:
            self.refused.discard(low, high)
            self.unreported.discard(low, high)


class Isolation:
    """The symbols of one partition whose trades were refused."""

    def __init__(self) -> None:
        self._symbols: dict[SymbolId, _Refusals] = {}

    def is_active(self, now_s: float) -> bool:
        """Return whether a symbol is isolated, or refused ids may still turn out to be missing."""
        return any(known.isolated_until_s > now_s or known.unreported for known in self._symbols.values())

    def note_refused(self, symbol: SymbolId, trades: Iterable[Trade], reason: str, now_s: float) -> None:
        """Note trades that the database has just refused.

        Args:
            symbol: of the trades.
            trades: empty where something else was refused.
            reason: the database's message.
            now_s: the present, by a monotonic clock.
        """
        refusals = self._symbols.setdefault(symbol, _Refusals())
        if now_s - refusals.last_s > _FORGET_AFTER_S:
            refusals.count = 0
        refusals.count += 1
        refusals.last_s = now_s
        refusals.reason = reason
        if refusals.count > _TOLERATED_REFUSALS:
            refusals.isolated_until_s = now_s + min(
                _MAX_ISOLATED_S, 2.0 ** min(refusals.count - _TOLERATED_REFUSALS, 20)
            )
        refusals.add(trades)

    def filter(self, fields: Fields, now_s: float) -> tuple[Fields, list[tuple[str, list[Trade]]]]:
        """Remove the parts of isolated symbols from an entry.

        Returns:
            The rest, and by part the reason and the trades removed; the same fields where none are.
        """
        isolated = {
            symbol: refusals
            for symbol, refusals in self._symbols.items()
            if refusals.isolated_until_s > now_s
        }
        if not isolated:
            return fields, []
        parts = split_entry(fields)
        rest = [part for part in parts if part.symbol not in isolated]
        if len(rest) == len(parts):
            return fields, []
        removed = []
        for part in parts:
            if part.symbol is not None and part.symbol in isolated:
                refusals = isolated[part.symbol]
                refusals.add(part.trades)
                if part.trades:
                    removed.append((refusals.reason, list(part.trades)))
        return join_parts(fields, rest), removed

    def reset(self) -> None:
        """Note that the state was restored from the database: no verdict has been applied to it."""
        for refusals in self._symbols.values():
            refusals.unreported = Ranges(refusals.refused.members)

    def take_missing(self, missing_of: Callable[[SymbolId], Ranges | None]) -> Iterator[Verdict]:
        """Yield verdicts on refused ids that ledgers now miss.

        Args:
            missing_of: returns the missing ids of a symbol's ledger; None if the symbol has no ledger.
        """
        for symbol, refusals in self._symbols.items():
            missing = missing_of(symbol) if refusals.unreported else None
            for low, high in refusals.unreported.members if missing else ():
                while missing and (found := missing.first_from(low)) is not None and found[0] <= high:
                    first, last = found[0], min(found[1], high)
                    refusals.unreported.discard(first, last)
                    yield Verdict(*symbol, first, last, "unrecoverable", f"not storable: {refusals.reason}")
                    low = last + 1


def split_entry(fields: Fields) -> list[EntryPart]:
    """Split an entry by symbol, in the order of their first occurrence."""
    try:
        name = next((name for name in _TRADES if name in fields), None)
        if name is not None:
            return _split_trades(name, fields[name])
        if wire.CLOCK in fields:
            clock = wire.decode_clock(fields[wire.CLOCK])
            return [
                EntryPart(
                    SymbolId(clock.venue, symbol),
                    {wire.CLOCK: wire.encode_clock(wire.Clock(clock.venue, (symbol,), clock.time_us))},
                )
                for symbol in clock.symbols
            ]
        if wire.VERDICT in fields:
            verdict = wire.decode_verdict(fields[wire.VERDICT])
            return [EntryPart(SymbolId(verdict.venue, verdict.symbol), fields)]
    except PoisonError:
        pass  # the whole entry becomes a dead letter when it is absorbed
    return [EntryPart(None, fields)]


def join_parts(fields: Fields, parts: Sequence[EntryPart]) -> Fields:
    """Return an entry with only some of its parts."""
    name = next((name for name in _TRADES if name in fields), None)
    if name is not None:
        return {name: encode_trades([trade for part in parts for trade in part.trades])}
    if not parts:
        return NO_TRADES
    if wire.CLOCK in fields:
        clock = wire.decode_clock(fields[wire.CLOCK])
        symbols = tuple(part.symbol.symbol for part in parts if part.symbol)
        return {wire.CLOCK: wire.encode_clock(wire.Clock(clock.venue, symbols, clock.time_us))}
    return fields


def _split_trades(name: bytes, payload: bytes) -> list[EntryPart]:
    by_symbol: dict[SymbolId, list[Trade]] = {}
    for trade in decode_trades(payload):
        by_symbol.setdefault(SymbolId(trade.venue, trade.symbol), []).append(trade)
    return [part_of(symbol, name, trades) for symbol, trades in by_symbol.items()]


def part_of(symbol: SymbolId | None, name: bytes, trades: Sequence[Trade]) -> EntryPart:
    """Return trades of a symbol as part of an entry."""
    return EntryPart(symbol, {name: encode_trades(trades)}, trades)
