"""The client's cursors, what is new of history, its types, and what a missing library is answered with."""

import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from typescript_client import SOURCE

from api.views.candles import CandleView
from api.views.trades import TradeView
from tickplant.client import Candle, PlantError, TemporaryError, Trade
from tickplant.client.frames import to_polars
from tickplant.client.progress import RECENT, RECENT_TRADES, CandleProgress, TradeProgress
from tickplant.client.subscription import ChannelSubscription

START = datetime(2024, 8, 8, 23, 54, tzinfo=UTC)
PRICE, TRADES = "price:binance:BTCUSDT", "trades:binance:BTCUSDT"


def since(subscription: ChannelSubscription) -> Any:
    return msgspec.json.decode(subscription.request()).get("since")


def receive(subscription: ChannelSubscription, **message: Any) -> object:
    return subscription.receive(msgspec.json.encode(message))


def test_each_channel_is_resumed_at_its_last_message() -> None:
    subscription = ChannelSubscription(["price:BTCUSDT", "trades:BTCUSDT"])
    assert since(subscription) is None
    assert receive(subscription, type="ack", id=1, op="subscribe", channels=[PRICE, TRADES]) is None
    receive(subscription, type="snapshot", channel=PRICE, cursor="3.1-0", data=None)
    assert since(subscription) == {PRICE: "3.1-0"}
    receive(subscription, type="snapshot", channel=TRADES, cursor="3.1-0", data=[])
    receive(subscription, type="trades", channel=TRADES, cursor="3.2-0.n1", data=[])
    receive(subscription, type="stats", channel="stats:binance:BTCUSDT", data={})
    receive(subscription, type="pong", id=None)
    assert since(subscription) == {PRICE: "3.1-0", TRADES: "3.2-0.n1"}


def test_one_cursor_is_kept_for_every_channel_until_its_first_message() -> None:
    subscription = ChannelSubscription(["price:BTCUSDT", "trades:BTCUSDT"], "3.1-0")
    assert since(subscription) == "3.1-0"
    receive(subscription, type="ack", id=1, op="subscribe", channels=[PRICE, TRADES])
    receive(subscription, type="trades", channel=TRADES, cursor="3.2-0", data=[])
    assert since(subscription) == {PRICE: "3.1-0", TRADES: "3.2-0"}


@pytest.mark.parametrize(("code", "kind"), [("unavailable", TemporaryError), ("unknown_symbol", PlantError)])
def test_only_what_may_work_later_is_tried_again(code: str, kind: type[PlantError]) -> None:
    with pytest.raises(PlantError, match="why") as refused:
        receive(ChannelSubscription([PRICE]), type="error", id=1, code=code, message="why", near=["a"])
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.near) == (code, ("a",))


def test_a_server_of_another_kind_is_recognised() -> None:
    with pytest.raises(PlantError, match="no message of tickplant"):
        ChannelSubscription([PRICE]).receive("hello")


def trade(number: int, second: int | None = None) -> Trade:
    time = START + timedelta(seconds=number if second is None else second)
    return Trade(number, Decimal("1.50"), Decimal(2), "buy", time, time)


def test_trades_from_history_are_new_after_the_newest_one_only() -> None:
    progress = TradeProgress()
    assert progress.start is None
    assert progress.add([trade(1), trade(3), trade(2)], overlap=False) == [trade(1), trade(3), trade(2)]
    assert progress.start == trade(3).event_time
    same_time = trade(4, second=3)
    assert progress.add([trade(2), trade(3), same_time], overlap=True) == [same_time]


def test_a_live_trade_that_comes_again_is_not_new_and_one_that_is_late_is() -> None:
    progress = TradeProgress()
    trades = [trade(number) for number in range(2 * RECENT_TRADES)]
    assert progress.add(trades, overlap=False) == trades
    assert progress.add(trades[-5:-2], overlap=True) == []  # what is left after a loss
    late = trade(2 * RECENT_TRADES, second=3)
    again = [*trades[-RECENT_TRADES:], late, trade(2 * RECENT_TRADES + 1)]
    assert progress.add(again, overlap=False) == again[-2:]


def candle(minute: int, **fields: Any) -> Candle:
    number = Decimal(1)
    time = START + timedelta(minutes=minute)
    numbers = (number,) * 9
    made = Candle(
        time, time + timedelta(minutes=1), *numbers, 1, 1, 1, closed=False, complete=False, revision=0
    )
    return replace(made, **fields)


def test_a_state_of_a_candle_is_new_once() -> None:
    progress = CandleProgress()
    closed = candle(0, closed=True)
    assert progress.add([candle(0), candle(0), closed, closed], overlap=False) == [candle(0), closed]
    assert progress.add([closed, candle(1)], overlap=True) == [candle(1)]
    assert progress.start == START


def test_only_some_candles_are_kept() -> None:
    progress = CandleProgress()
    progress.add([candle(minute) for minute in range(RECENT + 5)], overlap=False)
    assert progress.start == candle(5).open_time


@pytest.mark.parametrize(("view", "struct"), [(CandleView, Candle), (TradeView, Trade)])
def test_the_types_of_both_clients_have_the_fields_of_the_api(view: Any, struct: Any) -> None:
    assert struct.__struct_fields__ == view.__struct_fields__
    text = (SOURCE / "src" / "messages.ts").read_text(encoding="utf-8")
    (body,) = re.findall(rf"export interface {struct.__name__} {{\n(.*?)\n}}", text, re.DOTALL)
    assert tuple(re.findall(r"^  (\w+):", body, re.MULTILINE)) == view.__struct_fields__


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="pip install polars"):
        to_polars(Trade, [], exact=True)
