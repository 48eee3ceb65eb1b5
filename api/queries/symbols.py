"""Which symbols there are, and what a caller means by one."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from api.queries.history import StoredHistory
from db.symbols import read_stored_symbols
from tickplant.errors import TickplantError
from tickplant.market import SymbolId
from tickplant.near_matches import NearNames

_LOOK_AGAIN_S: Final = 1.0


class UnknownSymbolError(TickplantError):
    """No symbol is called so."""

    def __init__(self, text: str, near: list[str]) -> None:
        """Say which, and what may have been meant."""
        super().__init__(f"there is no symbol {text[:80]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        self.near = near


class AmbiguousSymbolError(TickplantError):
    """Several venues have a symbol of that name."""

    def __init__(self, text: str, candidates: list[str]) -> None:
        """Say which, and what it can mean."""
        super().__init__(f"{text[:80]!r} is traded at several venues: write {' or '.join(candidates)}")
        self.candidates = candidates


class SymbolDirectory:
    """The symbols of the settings, and those that the database has trades of."""

    def __init__(
        self, configured: Iterable[SymbolId], history: StoredHistory, *, clock_s: Callable[[], float]
    ) -> None:
        """Begin with the settings' symbols.

        Args:
            configured: those of the settings.
            history: where others are found.
            clock_s: seconds on a clock that never goes back.
        """
        self.configured = frozenset(configured)
        self._history = history
        self._clock_s = clock_s
        self._looked_at_s = -_LOOK_AGAIN_S
        self._known: set[SymbolId] = set()
        self._by_name: dict[str, list[SymbolId]] = {}
        self._names = NearNames(())
        self._learn(self.configured)

    async def resolve(self, text: str, *, near: bool = True) -> SymbolId:
        """Find the symbol that a caller means: `venue:symbol`, or `symbol` alone; case doesn't matter.

        Args:
            text: what the caller wrote.
            near: whether the error for an unknown symbol names those that may have been meant, which costs
                some milliseconds.

        Raises:
            UnknownSymbolError: there is none.
            AmbiguousSymbolError: there are several.
            TimeoutError: it may be in the database, which is away; or another of `db.pool.OUTAGE`.
        """
        found = self._find(text)
        if not found:
            await self._look()
            found = self._find(text)
        if not found:
            raise UnknownSymbolError(text, self._near(text) if near else [])
        if len(found) > 1:
            raise AmbiguousSymbolError(text, sorted(str(symbol) for symbol in found))
        return found[0]

    async def all(self) -> list[SymbolId]:
        """Return all symbols that there are now, in order; raises as `resolve` where the database is away."""
        await self._look()
        return sorted(self._known)

    async def _look(self) -> None:
        if self._clock_s() - self._looked_at_s >= _LOOK_AGAIN_S:
            async with self._history.snapshot() as connection:
                self._learn([row.id for row in await read_stored_symbols(connection)])
            self._looked_at_s = self._clock_s()

    def _find(self, text: str) -> list[SymbolId]:
        found = self._by_name.get(text.lower(), [])
        exact = [symbol for symbol in found if text in (symbol.symbol, str(symbol))]
        return exact or found

    def _learn(self, symbols: Iterable[SymbolId]) -> None:
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
        names = self._names.find(text, most=5, cutoff=0.5)
        return list(dict.fromkeys(str(symbol) for name in names for symbol in self._by_name[name]))[:5]
