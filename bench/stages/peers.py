"""Stage `peers`: what a trade costs programs of others that fold the same frames into candles."""

from bench.peers.measure import PeerError, measure_cryptofeed
from bench.results import Reference, Result
from bench.stage import GO, Bench


async def measure_peers(bench: Bench) -> list[Result]:
    """Measure each peer, beside the fastest implementation here."""
    return [result for symbols in bench.sizes.in_memory_symbols for result in await _measure(bench, symbols)]


async def _measure(bench: Bench, symbols: int) -> list[Result]:
    costs = []
    go = await bench.go_cost(symbols)
    if go is not None:
        costs.append((GO, go))
    frames = await bench.frames.get(bench.sizes.in_memory_trades, symbols)
    try:
        costs.append(("cryptofeed", await measure_cryptofeed(frames, install=bench.peers)))
    except PeerError as error:
        bench.skip("cryptofeed", str(error))
    if not costs:
        return []
    rates = (await bench.in_memory(symbols)).fold
    name = max(rates, key=lambda implementation: rates[implementation])
    ours = Reference(f"tickplant, {name}", 1e6 / rates[name])
    counted = "1 symbol" if symbols == 1 else f"{symbols} symbols"
    return [
        Result(
            "peers",
            f"{peer}, {counted}",
            cost.cpu_us,
            "us of CPU a trade",
            (ours,),
            notes=(f"{peer}: {cost.version}",),
        )
        for peer, cost in costs
    ]
