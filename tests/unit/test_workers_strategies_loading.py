"""Strategies are found by name or dotted path, and all errors in them are reported at once."""

import re
from pathlib import Path

import pytest
from signalling import START_US, Storing, trade

from tickplant.averages import AverageSpec, AverageSpecs
from tickplant.errors import SettingsError
from tickplant.intervals import SECOND_US
from tickplant.settings import Settings
from workers.strategies import STRATEGIES, Strategy
from workers.strategies.dip import Dip
from workers.strategies.loading import load_strategies

MANUAL = Path(__file__).parents[2] / "docs" / "strategies.md"
SPECS = AverageSpecs((AverageSpec("sma", 7), AverageSpec("sma", 25), AverageSpec("ema", 12)), ("1m", "1h"))

OWN = """
from workers.strategies import Strategy

class Good(Strategy):
    name = "good"
    trades = True
    def trade(self, trade): ...

class Nameless(Good):
    name = "No name"

class Idle(Strategy):
    name = "idle"

class Deaf(Strategy):
    name = "deaf"
    trades = True

class Blind(Strategy):
    name = "blind"
    intervals = ("1m",)

class Odd(Strategy):
    name = "odd"
    intervals = ("2m",)
    def closed(self, closed): ...

class Numbered(Good):
    name = 5

class Bare(Odd):
    intervals = "1m"

class Endless(Good):
    cooldown_s = float("nan")

class Raising(Good):
    count: int = 0
    def __post_init__(self):
        raise LookupError("not now")

class Unset(Good):
    count: int

class Unstored(Good):
    kept: object = open

not_a_class = 1
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with strategies of the user's own."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def load(*words: str) -> tuple[type[Strategy], ...]:
    return load_strategies(words, SPECS, {"dip": {"length": 20}}, source="HERE")


def test_all_that_are_included_are_the_default_and_can_run() -> None:
    settings = Settings()
    assert settings.strategies == tuple(STRATEGIES)
    kinds = load_strategies(settings.strategies, settings.average_specs, source="")
    assert kinds == tuple(STRATEGIES.values())


def test_parameters_override_settings_which_override_the_class(own: str) -> None:
    dip, cross, good = load(
        "dip?share=0.98&cooldown_s=5",
        "cross?name=slow&intervals=1h&averages=ema_12+sma_25",
        f"{own}:Good?cooldown_s=1.5",
    )
    assert issubclass(dip, Dip)
    assert (dip.name, str(dip.share), dip.length, dip.cooldown_s) == ("dip", "0.98", 20, 5.0)
    assert (cross.name, cross.intervals, cross.averages) == ("slow", ("1h",), ("ema_12", "sma_25"))
    assert (good.name, good.cooldown_s) == ("good", 1.5)
    assert (Dip.length, str(Dip.share), Dip.cooldown_s) == (10, "0.99", 60.0)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("corss", "none of dip, cross, hop, anomaly; did you mean cross?"),
        ("my.module", "none of dip, cross, hop, anomaly; your own are written package.module:Class"),
        ("no_such:It", "can't be imported: ModuleNotFoundError: No module named 'no_such'"),
        ("OWN:It", "can't be imported: AttributeError: module 'OWN' has no attribute 'It'"),
        ("OWN:not_a_class", "not a class that derives from workers.strategies.Strategy"),
        ("OWN:Nameless", "its name must consist of lowercase letters, digits and underscores"),
        ("OWN:Idle", "it reads nothing: set trades or intervals"),
        ("OWN:Deaf", "it reads trades, but has no method trade"),
        ("OWN:Blind", "it reads candles, but has no method closed"),
        ("OWN:Odd", "there are no candles of 2m; there are of 1m, 5m, 15m, 1h, 4h, 1d, 1w"),
        ("OWN:Numbered", "name: Expected `str`, got `int`"),
        ("OWN:Bare", "intervals: Expected `array`, got `str`"),
        ("OWN:Endless", "cooldown_s: it must be from 0 to "),
        ("dip?cooldown_s=-1", "cooldown_s: it must be from 0 to "),
        ("OWN:Raising", "its fields can't be stored: LookupError: not now"),
        ("OWN:Unset", "its fields can't be stored: TypeError: Missing required argument 'count'"),
        ("OWN:Unstored", "its fields can't be stored: TypeError: Encoding objects of type"),
        ("cross?intervals=4h", "there are no averages of 4h: see TICKPLANT_AVERAGE_INTERVALS"),
        ("cross?averages=sma_7+sma_8", "there is no average sma_8; there are sma_7, sma_25, ema_12"),
        ("dip?lenght=3", "there is no parameter lenght; there are name, intervals, averages"),
        ("dip?share=nan", "share: expected a finite number"),
        ("hop?threshold=Infinity", "threshold: expected a finite number"),
        ("anomaly?zscore=inf", "zscore: expected a finite number"),
        ("dip?length=0", "length: Expected `int` >= 1"),
        ("dip?length", "parameters are written ?name=value&name=value"),
    ],
)
def test_an_invalid_strategy_is_refused_with_the_reason(own: str, word: str, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(word.replace("OWN", own))
    (reported,) = error.value.problems
    assert reported.replace(own, "OWN").startswith(f"HERE: {word}: {problem}")


@pytest.mark.parametrize(
    "statement",
    [
        "import sys; sys.exit('bye')",
        "raise KeyboardInterrupt",
        "import asyncio; raise asyncio.CancelledError",
        "raise BaseExceptionGroup('many', [SystemExit()])",
        "raise ValueError('x' * 50_000_000)",
    ],
)
@pytest.mark.parametrize("inside", ["module", "method"])
def test_any_exception_while_loading_a_strategy_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, inside: str
) -> None:
    name = f"raising_{abs(hash((statement, inside)))}"
    method = f"class It(Strategy):\n name = 'it'\n trades = True\n def __post_init__(self): {statement}\n"
    head = "from workers.strategies import Strategy\n"
    (tmp_path / f"{name}.py").write_text(statement if inside == "module" else head + method)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError) as error:
        load(f"{name}:It")
    (reported,) = error.value.problems
    assert len(reported) < 700


def test_a_module_that_ends_the_process_is_wrong_like_any_other(own: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}_quits.py").write_text("raise SystemExit(3)")
    with pytest.raises(SettingsError, match="can't be imported: SystemExit: 3"):
        load(f"{own}_quits:It")


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load("corss", "dip", "dip?length=3", "hop?threshold=x")
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "corss",
        "dip?length=3",
        "hop?threshold=x",
    ]


def test_without_averages_there_are_strategies_of_trades_only() -> None:
    assert load_strategies(["dip", "hop"], None, source="")
    for word in ("cross", "anomaly"):
        with pytest.raises(SettingsError, match="these are off: see TICKPLANT_ROLES"):
            load_strategies([word], None, source="")


def test_the_strategy_of_the_manual_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MANUAL.read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n# (.+)\n((?s:.+?))```", text)
    (tmp_path / source[0]).write_text(source[1])
    monkeypatch.syspath_prepend(tmp_path)
    (word,) = re.findall(r"TICKPLANT_STRATEGIES=dip,cross,(\S+)", text)
    prices = ["5", *"123456", "5", *"123456", "1"]
    trades = [
        trade(number, price, at_us=START_US + number * 100 * SECOND_US)
        for number, price in enumerate(prices, start=1)
    ]
    given = Storing(*load(word)).run(trades, [(1, True)] * len(trades))
    assert [(signal.number, signal.side, signal.trade_id) for signal in given] == [
        (1, "buy", 5),
        (2, "buy", 12),
    ]


def test_the_included_strategies_and_the_settings_have_the_same_defaults() -> None:
    settings, anomaly = Settings(), STRATEGIES["anomaly"]
    for name in ("zscore", "iqr", "points"):
        assert getattr(settings, f"anomaly_{name}") == getattr(anomaly, name)
