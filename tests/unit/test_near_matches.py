"""Names that may have been meant."""

from difflib import SequenceMatcher
from typing import Any

import pytest

from tickplant.near_matches import COMPARED, LONGEST, NearNames, nearest

SYMBOLS = [
    f"binance:{base}{quote}" for base in map("C{:03d}".format, range(2000)) for quote in ("USDT", "BTC")
]


def test_a_slip_is_found_among_thousands() -> None:
    names = NearNames([*map(str.lower, SYMBOLS), "binance:btcusdt", "btcusdt"])
    assert names.find("BTCUSD", most=1) == ["btcusdt"]
    assert names.find("binance:BTCUSDTT", most=1) == ["binance:btcusdt"]
    assert names.find("qqqqqqqqqqqq", most=5) == []


def test_the_cost_is_bounded_whatever_the_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    quick_ratio: Any = SequenceMatcher.real_quick_ratio

    def counted(self: Any) -> Any:
        nonlocal compared
        compared += 1
        return quick_ratio(self)

    monkeypatch.setattr(SequenceMatcher, "real_quick_ratio", counted)
    NearNames(map(str.lower, SYMBOLS)).find("binance:c0000usdt", most=5)
    assert 0 < compared <= COMPARED


def test_a_text_that_is_longer_than_any_name_is_near_to_none() -> None:
    assert nearest("limit" * 20_000, ["limit", "start"]) is None
    assert nearest("limt" + " " * LONGEST, ["limit"]) is None


def test_the_nearest_of_a_few() -> None:
    assert nearest("Limt", ["limit", "start"]) == "limit"
    assert nearest("whatever", ["limit", "start"]) is None
