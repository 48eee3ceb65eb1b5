"""Resolves the symbols in requests."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from api.queries.history import StoredHistory
from db.symbols import read_stored_symbols
from db.venue_candles import read_symbols_of_venue_candles
from tickplant.errors import TickplantError
from tickplant.market import SymbolId
from tickplant.near_matches import NearNames

_REFRESH_S: Final = 1.0


class UnknownSymbolError(TickplantError):
    """No symbol has this name."""

    def __init__(self, text: str, near: list[str]) -> None:
        """Name the symbol, and similar ones."""
        super().__init__(f"there is no symbol {text[:80]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        self.near = near


class AmbiguousSymbolError(TickplantError):
    """Several venues have a symbol of that name."""

    def __init__(self, text: str, candidates: list[str]) -> None:
        """Name the symbol, and the candidates."""
        super().__init__(f"{text[:80]!r} is traded at several venues: specify {' or '.join(candidates)}")
        self.candidates = candidates


class SymbolDirectory:
    """The symbols of the settings, and those that the database has trades or candles of."""

    def __init__(
        self, configured: Iterable[SymbolId], history: StoredHistory, *, clock_s: Callable[[], float]
    ) -> None:
        """Start with the symbols of the settings.

        Args:
            configured: those of the settings.
            history: knows the others.
            clock_s: a monotonic clock, in seconds.
        """
        self.configured = frozenset(configured)
        self._history = history
        self._clock_s = clock_s
        self._refreshed_s = -_REFRESH_S
        self._known: set[SymbolId] = set()
        self._by_name: dict[str, list[SymbolId]] = {}
        self._names = NearNames(())
        self._add(self.configured)

    async def resolve(self, text: str, *, near: bool = True) -> SymbolId:
        """Find a symbol by `venue:symbol`, or by `symbol` alone; case is ignored.

        Args:
            text: as the client wrote it.
            near: whether the error for an unknown symbol names similar ones, which takes some milliseconds.

        Raises:
            UnknownSymbolError: there is no such symbol.
            AmbiguousSymbolError: several venues have it.
            TimeoutError: it may be in the database, which is unavailable; or another of `db.pool.OUTAGE`.
        """
        matches = self._find(text)
        if not matches:
            await self._refresh()
            matches = self._find(text)
        if not matches:
            raise UnknownSymbolError(text, self._near(text) if near else [])
        if len(matches) > 1:
            raise AmbiguousSymbolError(text, sorted(str(symbol) for symbol in matches))
        return matches[0]

    async def all(self) -> list[SymbolId]:
        """Return all symbols known now, in order; raises as `resolve` if the database is unavailable."""
        await self._refresh()
        return sorted(self._known)

    async def _refresh(self) -> None:
        if self._clock_s() - self._refreshed_s >= _REFRESH_S:
            async with self._history.snapshot() as connection:
                self._add([row.id for row in await read_stored_symbols(connection)])
                self._add(await read_symbols_of_venue_candles(connection))
            self._refreshed_s = self._clock_s()

    def _find(self, text: str) -> list[SymbolId]:
        matches = self._by_name.get(text.lower(), [])
        exact = [symbol for symbol in matches if text in (symbol.symbol, str(symbol))]
        return exact or matches

    def _add(self, symbols: Iterable[SymbolId]) -> None:
        new = set(symbols) - self._known
        if not new:
            return
        self._known |= new
        by_name: defaultdict[str, list[SymbolId]] = defaultdict(list)
        for symbol in sorted(self._known):
            by_name[symbol.symbol.lower()].append(symbol)
            by_name[str(symbol).lower()].append(symbol)
        self._by_name = dict(by_name)
        self._names = NearNames(by_name)

    def _near(self, text: str) -> list[str]:
        names = self._names.find(text, most=5)
        return list(dict.fromkeys(str(symbol) for name in names for symbol in self._by_name[name]))[:5]
