"""Trades that are excluded from a partition's transactions, since the database refuses them. Pure.

A symbol whose trades are refused repeatedly is isolated for a time, so that the search for refused rows does
not slow the other symbols; then it is tried again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tickplant import wire
from tickplant.errors import PoisonError
from tickplant.market import SymbolId, Trade
from tickplant.wire import Verdict
from workers.ranges import Ranges

Fields = dict[bytes, bytes]

NO_TRADES: Final[Fields] = {wire.TRADES: wire.encode_trades([])}
"""An entry without content."""

_TRADES: Final = (wire.TRADES, wire.UNNUMBERED, wire.PAST)
_TOLERATED_REFUSALS: Final = 3
"""So many times a symbol's refused trades are searched for before it is isolated."""
_MAX_ISOLATED_S: Final = 600.0
_FORGET_AFTER_S: Final = 3_600.0
"""After so long without another, a symbol's refusals count no more."""
_MOST_REFUSED: Final = 10_000
"""So many ranges of refused ids are remembered of a symbol, the newest; others become open gaps."""


class EntryPart(NamedTuple):
    """One symbol's part of an entry; the whole entry if it can't be split."""

    symbol: SymbolId | None
    fields: Fields
    trades: Sequence[Trade] = ()


class _Symbol:
    """What is known of a symbol whose trades were refused."""

    __slots__ = ("isolated_until_s", "last_s", "reason", "refusals", "refused", "unreported")

    def __init__(self) -> None:
        self.refusals = 0
        self.last_s = 0.0
        self.isolated_until_s = 0.0
        self.reason = ""
        self.refused = Ranges()
        self.unreported = Ranges()
        """Those for which no verdict has been applied to the present state."""


class Isolation:
    """The symbols of one partition of which trades were refused."""

    def __init__(self) -> None:
        self._symbols: dict[SymbolId, _Symbol] = {}

    def note_refused(self, symbol: SymbolId, trades: Iterable[Trade], reason: str, now_s: float) -> None:
        """Note trades that the database has just refused.

        Args:
            symbol: theirs.
            trades: none where something else was refused.
            reason: the database's message.
            now_s: the present, by a clock that never goes back.
        """
        known = self._symbols.setdefault(symbol, _Symbol())
        if now_s - known.last_s > _FORGET_AFTER_S:
            known.refusals = 0
        known.refusals += 1
        known.last_s = now_s
        known.reason = reason
        if known.refusals > _TOLERATED_REFUSALS:
            known.isolated_until_s = now_s + min(
                _MAX_ISOLATED_S, 2.0 ** min(known.refusals - _TOLERATED_REFUSALS, 20)
            )
        self._remember(known, trades)

    def filter(self, fields: Fields, now_s: float) -> tuple[Fields, list[tuple[str, list[Trade]]]]:
        """Take what is of isolated symbols out of an entry.

        Returns:
            The rest, and the trades taken out with the reason; the fields as they were where none is.
        """
        isolated = {symbol: it for symbol, it in self._symbols.items() if it.isolated_until_s > now_s}
        if not isolated:
            return fields, []
        parts = split_entry(fields)
        taken = [part for part in parts if part.symbol in isolated]
        if not taken:
            return fields, []
        for part in taken:
            assert part.symbol is not None
            self._remember(isolated[part.symbol], part.trades)
        aside = [
            (isolated[part.symbol].reason, list(part.trades)) for part in taken if part.symbol and part.trades
        ]
        return join_parts(fields, [part for part in parts if part.symbol not in isolated]), aside

    def reset(self) -> None:
        """Note that the state was loaded again from the database: no verdict has been applied to it."""
        for known in self._symbols.values():
            known.unreported = Ranges(known.refused.members)

    def take_missing(self, missing_of: Callable[[SymbolId], Ranges | None]) -> Iterator[Verdict]:
        """Yield verdicts on refused ids that are known to be missing by now.

        Args:
            missing_of: returns the ids that a symbol's ledger misses; None for a symbol that has none.
        """
        for symbol, known in self._symbols.items():
            missing = missing_of(symbol) if known.unreported else None
            for low, high in known.unreported.members if missing else ():
                while missing and (found := missing.first_from(low)) is not None and found[0] <= high:
                    first, last = found[0], min(found[1], high)
                    known.unreported.discard(first, last)
                    yield Verdict(*symbol, first, last, "unrecoverable", f"not storable: {known.reason}")
                    low = last + 1

    def _remember(self, known: _Symbol, trades: Iterable[Trade]) -> None:
        for trade in trades:
            known.refused.add(trade.trade_id, trade.trade_id)
            known.unreported.add(trade.trade_id, trade.trade_id)
        for low, high in known.refused.members[:-_MOST_REFUSED]:
            known.refused.discard(low, high)
            known.unreported.discard(low, high)


def split_entry(fields: Fields) -> list[EntryPart]:
    """Split an entry by symbol, in the order in which they come."""
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
    """Return an entry of those of its parts that are left."""
    name = next((name for name in _TRADES if name in fields), None)
    if name is not None:
        return {name: wire.encode_trades([trade for part in parts for trade in part.trades])}
    if not parts:
        return NO_TRADES
    if wire.CLOCK in fields:
        clock = wire.decode_clock(fields[wire.CLOCK])
        symbols = tuple(part.symbol.symbol for part in parts if part.symbol)
        return {wire.CLOCK: wire.encode_clock(wire.Clock(clock.venue, symbols, clock.time_us))}
    return fields


def _split_trades(name: bytes, payload: bytes) -> list[EntryPart]:
    by_symbol: dict[SymbolId, list[Trade]] = {}
    for trade in wire.decode_trades(payload):
        by_symbol.setdefault(SymbolId(trade.venue, trade.symbol), []).append(trade)
    return [part_of(symbol, name, trades) for symbol, trades in by_symbol.items()]


def part_of(symbol: SymbolId | None, name: bytes, trades: Sequence[Trade]) -> EntryPart:
    """Return trades of a symbol as a part of an entry."""
    return EntryPart(symbol, {name: wire.encode_trades(trades)}, trades)
