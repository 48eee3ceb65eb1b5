"""Which of the symbols one of several ingest processes receives."""

from collections.abc import Mapping, Sequence
from typing import Final

from ingest.venues.base import VenueAdapter
from tickplant.market import SymbolId
from tickplant.sharing import Shard, fair_shares

_ALL: Final = "*"
"""Stands for all symbols of a venue."""


def symbols_of_shard(
    symbols: Sequence[SymbolId], adapters: Mapping[str, VenueAdapter], shard: Shard
) -> list[SymbolId]:
    """Return the symbols of a shard, in the order given.

    Each shard gets the same number of symbols, give or take one; if there are more shards, few symbols move
    but to the new ones. The symbols of a venue that allows a single connection stay together, as one.

    Args:
        symbols: of all shards, as the venues write them, the same for each process.
        adapters: by venue.
        shard: the process's own.
    """
    units = {symbol: _unit(symbol, adapters[symbol.venue]) for symbol in symbols}
    owners = [str(index) for index in range(shard.total)]
    share = fair_shares(owners, sorted(set(units.values())))[owners[shard.number]]
    return [symbol for symbol in symbols if units[symbol] in share]


def _unit(symbol: SymbolId, venue: VenueAdapter) -> SymbolId:
    """Return what is given to a shard as a whole: the symbol, or its venue."""
    return symbol if venue.limits.connections != 1 else SymbolId(symbol.venue, _ALL)
