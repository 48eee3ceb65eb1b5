"""Marks on TradingView's charts."""

from decimal import Decimal

from api_plant import BTC, T0

from api.udf.views import mark_of
from tickplant.bot import Fill
from tickplant.derived import Firing

T0_S = T0 // 1_000_000


def test_alerts_and_fills_are_marked_too() -> None:
    numbers = [Decimal("61837.63"), Decimal("0.5"), Decimal("30918.815"), Decimal("30.9"), Decimal(0)]
    fill = Fill(*BTC, 3, "sell", 1, T0, *numbers)
    firing = Firing("a1", 2, "ada", *BTC, "above", T0, 1, "61838", "61838", "61800", "")
    found = [mark_of(fill), mark_of(firing)]
    assert [(mark["id"], mark["time"], mark["label"], mark["color"]) for mark in found] == [
        ("fill-3", T0_S, "B", "red"),
        ("alert-a1-2", T0_S, "A", "blue"),
    ]
    assert found[0]["text"] == "bot: sell 0.5 at 61837.63"
