"""Stage `fold`: frames in memory to exact candles, on one core and without I/O."""

from typing import Final

from bench.results import Aim, Reference, Result
from bench.stage import GO, Bench

DECODE: Final = "bare decode (msgspec)"
_AIMS: Final = {1: 2.0, 100: 1.5}
"""How many times as fast as the Go aggregator, by number of symbols."""


async def measure_fold(bench: Bench) -> list[Result]:
    """Measure each implementation, in a process of its own."""
    return [result for symbols in bench.sizes.in_memory_symbols for result in await _measure(bench, symbols)]


async def _measure(bench: Bench, symbols: int) -> list[Result]:
    rates = await bench.in_memory(symbols)
    go = await bench.go_cost(symbols)
    peers = () if go is None else (Reference(GO, 1e6 / go.cpu_us),)
    counted = "1 symbol" if symbols == 1 else f"{symbols} symbols"
    return [
        Result(
            "fold",
            f"frame to exact candle, {counted}, {name}",
            rate,
            "trades/s",
            (*peers, Reference(DECODE, rates.decode)),
            (Aim(_AIMS[symbols], at_most=False, of=GO),),
        )
        for name, rate in rates.fold.items()
    ]
