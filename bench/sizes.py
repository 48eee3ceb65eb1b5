"""How much each stage measures."""

from typing import Final

from msgspec import Struct


class Sizes(Struct, frozen=True, kw_only=True):
    """The sizes of all stages; the defaults are those of a full run."""

    in_memory_trades: int = 100_000
    """Of `fold`, of what `publish` does in memory, and of peers."""
    in_memory_symbols: tuple[int, ...] = (1, 100)
    trades: int = 300_000
    """Of each throughput stage."""
    import_trades: int = 1_000_000
    """Of a file."""
    worker_counts: tuple[int, ...] = (1, 2)
    """The first is what the others are compared with."""
    worker_trades: int = 100_000
    """Of `symbols` and `roles`: several commits."""
    alerts: int = 100_000
    latency_rates: tuple[int, ...] = (100, 1_000, 10_000, 20_000)
    """Trades a second."""
    latency_s: float = 10.0
    warm_up_s: float = 3.0
    symbol_counts: tuple[int, ...] = (10, 100, 1_000, 5_000)
    """The first is what the others are compared with."""
    fanout_clients: int = 3_000
    fanout_updates_per_s: float = 10.0
    fanout_s: float = 10.0
    rest_requests: int = 2_000
    """Of prices; a tenth of them of candles and trades."""
    rest_rows: int = 1_000
    page_candles: int = 525_600
    """A year of minutes."""
    page_updates_per_s: float = 20.0
    page_s: float = 10.0
    storage_trades: int = 300_000
    storage_weeks: int = 4
    """Of candles: their minutes fill ten segments a week and symbol."""


FULL: Final = Sizes()

QUICK: Final = Sizes(
    in_memory_trades=3_000,
    in_memory_symbols=(100,),
    trades=3_000,
    import_trades=3_000,
    worker_counts=(1,),
    worker_trades=3_000,
    alerts=500,
    latency_rates=(500,),
    latency_s=0.5,
    warm_up_s=0.2,
    symbol_counts=(100,),
    fanout_clients=20,
    fanout_s=0.5,
    rest_requests=50,
    rest_rows=20,
    page_candles=3_000,
    page_s=0.5,
    storage_trades=3_000,
    storage_weeks=1,
)
"""Only shows that everything works."""
