"""The catalogue of metrics: documented to the letter, used by the code, named by the rules."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client import Metric as Family

from ingest.intake_metrics import symbol_class
from tickplant import metrics

ROOT = Path(__file__).parents[2]
SERVICES = ("ingest", "workers", "api", "db", "sandbox", "tickplant")

Metric = Counter | Gauge | Histogram


def catalogue() -> Iterator[tuple[str, Metric]]:
    for name, metric in vars(metrics).items():
        if isinstance(metric, Metric):
            yield name, metric


def family_of(metric: Metric) -> Family:
    (family,) = metric.describe()
    return family


def row(metric: Metric) -> str:
    """The line of docs/metrics.md that a metric must have."""
    family = family_of(metric)
    name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def test_every_metric_is_documented_as_it_is() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `tickplant_.*\|$", text, re.MULTILINE)
    assert documented == [row(metric) for _, metric in catalogue()]


def test_every_label_is_documented_as_bounded() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = text.partition("| label |")[2].partition("\n\n")[0]
    explained = {
        label for row in table.splitlines()[1:] for label in re.findall("`([a-z]+)`", row.split("|")[1])
    }
    assert {label for _, metric in catalogue() for label in metric._labelnames} == explained


def test_every_metric_is_used() -> None:
    files = [path for folder in SERVICES for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    assert [name for name, _ in catalogue() if f"metrics.{name}" not in code] == []


def test_names_contain_the_service_and_are_unique() -> None:
    names = [family_of(metric).name for _, metric in catalogue()]
    services = "kernel|redis|ingest|worker|api|grpc|archive|mirror"
    assert all(re.fullmatch(rf"tickplant_({services})_[a-z0-9_]+", name) for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("venue", "symbol", "expected"),
    [
        ("binance", "BTCUSDT", "crypto"),
        ("kraken", "BTC/USD", "crypto"),
        ("finnhub", "AAPL", "stock"),
        ("finnhub", "BINANCE:BTCUSDT", "crypto"),
        ("finnhub", "OANDA:EUR_USD", "forex"),
        ("finnhub", "IC MARKETS:1", "forex"),
    ],
)
def test_symbols_have_a_class(venue: str, symbol: str, expected: str) -> None:
    assert symbol_class(venue, symbol) == expected
