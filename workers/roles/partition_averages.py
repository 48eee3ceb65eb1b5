"""The averages of one partition's symbols. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from db.averages import AverageRows, CandleKey, CandleWindow
from tickplant.averages import AverageSpecs
from tickplant.derived import Average, Statistics
from tickplant.market import Candle, SymbolId
from workers.roles.averages import SymbolAverages

_NOTHING: Final[Mapping[str, CandleWindow]] = MappingProxyType({})


class PartitionAverages:
    """Makes the averages of each symbol, and gathers what they store."""

    def __init__(
        self, specs: AverageSpecs, remembered: Mapping[SymbolId, Mapping[str, CandleWindow]]
    ) -> None:
        """Begin with what the database holds.

        Args:
            specs: what is computed.
            remembered: of `db.averages.read_candle_windows`.
        """
        self._specs = specs
        self._remembered = dict(remembered)

    def of(self, symbol: SymbolId) -> SymbolAverages:
        """Make the averages of a symbol, once, as they were stored."""
        return SymbolAverages(*symbol, self._specs, self._remembered.pop(symbol, _NOTHING))

    def take(
        self,
        averages: Sequence[Average],
        statistics: Sequence[Statistics],
        corrected: Iterable[Candle],
    ) -> AverageRows | None:
        """Return what to store of what has come; None if nothing has."""
        keys = [CandleKey(it.venue, it.symbol, it.interval, it.open_time_us) for it in corrected]
        if not (averages or statistics or keys):
            return None
        return AverageRows(averages, statistics, keys, self._specs)
