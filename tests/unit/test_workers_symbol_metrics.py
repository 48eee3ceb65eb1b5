"""What is exposed of symbols and their gaps."""

import pytest
from prometheus_client import REGISTRY

from db.ledger import LedgerRow
from tickplant import metrics
from tickplant.market import Gap
from workers.symbol_metrics import SymbolMetrics


def row(symbol: str, missing: list[tuple[int, int]], *, numbered: bool = True) -> LedgerRow:
    return LedgerRow("nowhere", symbol, 1, 100, missing, [], numbered, 1_700_000_000_500_000)


def gap(state: str, cause: str = "ours") -> Gap:
    return Gap("nowhere", "A", 11, 20, 0, 1_000_000, state, cause, None, 0)


def exposed_of(symbol: str, what: str) -> float | None:
    return REGISTRY.get_sample_value(f"tickplant_worker_{what}", {"venue": "nowhere", "symbol": symbol})


def missing(symbol: str) -> float | None:
    return exposed_of(symbol, "missing_trades")


def test_missing_trades_are_those_of_the_symbols_owned_now() -> None:
    exposed = SymbolMetrics()
    exposed.note_ledger([row("A", [(3, 3), (11, 20)]), row("B", []), row("C", [], numbered=False)])
    assert (missing("A"), missing("B"), missing("C")) == (11, 0, None)
    assert (exposed_of("A", "open_gaps"), exposed_of("C", "open_gaps")) == (0, None)
    assert exposed_of("C", "watermark_seconds") == 1_700_000_000.5
    exposed.note_ledger([row("A", [(3, 3)])])
    assert missing("A") == 1
    exposed.remove()
    assert (missing("A"), missing("B")) == (None, None)


def test_healed_trades_and_the_time_it_took() -> None:
    changes = [gap("open"), gap("healed"), gap("healed", cause="venue"), gap("unrecoverable")]
    SymbolMetrics().note_changed_gaps(changes, now_us=3_500_000)
    labels = {"venue": "nowhere"}
    assert REGISTRY.get_sample_value("tickplant_worker_healed_trades_total", labels) == 10
    assert REGISTRY.get_sample_value("tickplant_worker_heal_seconds_count", labels) == 1
    assert REGISTRY.get_sample_value("tickplant_worker_heal_seconds_sum", labels) == 2.5


def test_gaps_that_may_heal_are_distinguished_from_unrecoverable_ones() -> None:
    exposed = SymbolMetrics()
    exposed.note_ledger([row("A", [(3, 3), (11, 20)]), row("C", [], numbered=False)])
    exposed.note_open_gaps({("nowhere", "A"): [gap("open"), gap("backfilling"), gap("unrecoverable")]})
    exposed.note_open_gaps({("nowhere", "C"): [], ("nowhere", "D"): []})
    assert (exposed_of("A", "open_gaps"), exposed_of("A", "unrecoverable_gaps")) == (2, 1)
    exposed.note_open_gaps({("nowhere", "A"): []})
    assert (exposed_of("A", "open_gaps"), exposed_of("A", "unrecoverable_gaps")) == (0, 0)
    exposed.remove()


def test_only_so_many_symbols_have_series_of_their_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SymbolMetrics, "_full", False)
    monkeypatch.setattr(metrics, "MAX_SYMBOLS", 2)
    monkeypatch.setattr(SymbolMetrics, "_exposed", {})
    exposed, others = SymbolMetrics(), SymbolMetrics()
    exposed.note_ledger([row("A", []), row("B", []), row("C", [])])
    others.note_ledger([row("D", [])])
    assert [missing(symbol) for symbol in "ABCD"] == [0, 0, None, None]
    assert [record.message for record in caplog.records] == [
        "2 symbols have metrics of their own; others of this process, such as nowhere:C, have none"
    ]
    exposed.remove()
    others.note_ledger([row("E", [])])
    assert missing("E") == 0
    others.remove()
