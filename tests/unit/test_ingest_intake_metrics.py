"""What is exposed of trades as they come in."""

from prometheus_client import REGISTRY

from ingest.connection import SocketRead
from ingest.intake_metrics import IntakeMetrics
from tickplant.kernel import group_trades
from tickplant.market import Trade


def trade(venue: str, symbol: str, *, delay_us: int = 0) -> Trade:
    return Trade(venue, symbol, 1, "1", "1", None, 1_700_000_000_000_000, 1_700_000_000_000_000 + delay_us)


def sample(what: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tickplant_ingest_{what}", labels)


def test_trades_are_counted_by_class_of_symbol() -> None:
    symbols = ["AAPL", "BINANCE:BTCUSDT", "OANDA:EUR_USD"]
    before = {
        name: sample("trades_total", venue="finnhub", **{"class": name}) or 0 for name in ("stock", "crypto")
    }
    exposed = IntakeMetrics("finnhub", symbols)
    assert sample("trades_total", venue="finnhub", **{"class": "forex"}) is not None, (
        "before anything has come"
    )
    exposed.note_trades(
        group_trades([trade("finnhub", symbol) for symbol in ("AAPL", "BINANCE:BTCUSDT", "AAPL")])
    )
    assert sample("trades_total", venue="finnhub", **{"class": "stock"}) == before["stock"] + 2
    assert sample("trades_total", venue="finnhub", **{"class": "crypto"}) == before["crypto"] + 1


def test_a_batch_gives_one_sample_of_its_way_never_less_than_nothing() -> None:
    exposed = IntakeMetrics("elsewhere", ["A"])
    exposed.note_reads([SocketRead(1, [b"x", b"y"]), SocketRead(2, [b"z"])])
    exposed.note_trades(
        group_trades([trade("elsewhere", "A", delay_us=500_000), trade("elsewhere", "A", delay_us=700_000)])
    )
    exposed.note_trades(group_trades([trade("elsewhere", "A", delay_us=-2_000_000)]))
    assert sample("frames_total", venue="elsewhere") == 3
    assert sample("venue_delay_seconds_sum", venue="elsewhere") == 0.5
    assert sample("venue_delay_seconds_count", venue="elsewhere") == 2
