"""The one order of messages that all cursors share."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from api.live.catch_up import CatchUp
from api.live.channel_changes import ChannelChange, changes_of
from api.live.channel_definitions import ChannelSources
from api.live.channels import STREAMED
from api.live.cursor import Cursor, Order
from api.live.protocol import Channel
from api.live.wildcards import Wildcards
from tickplant import wire
from tickplant.bot import Rules, new_account
from tickplant.derived import Firing, Signal, Unified
from tickplant.market import Gap, Trade, fold
from tickplant.wire import LiveEntry, LiveUpdate

SYMBOLS = ["A", "B"]
WILDCARDS = Wildcards(client_channels=10)
NOW_US = 1_700_000_000_000_000
(ONE,) = fold([Trade("v", "A", 1, "1", "1", None, NOW_US, NOW_US)])
CHANNELS = {
    Channel("price", "v", "A"),
    Channel("trades", "v", "A"),
    Channel("trades", "v", "B"),
    Channel("candles", "v", "B", "1m"),
    Channel("gaps", "v", "B"),
    Channel("signals", "v", "A"),
    Channel("alerts", "v", "A"),
    Channel("bot", "v", "B"),
    Channel("unified", "v", "A"),
}


def an_update(entry: int, symbols: list[list[str]]) -> LiveUpdate:
    """An update with an input entry for each list of symbols, a trade for each of them."""
    entries: list[LiveEntry] = []
    last: dict[str, Trade] = {}
    for number, names in enumerate(symbols):
        trades = [Trade("v", name, entry, "1.0", "2.0", None, NOW_US, NOW_US) for name in names]
        last |= {trade.symbol: trade for trade in trades}
        entries.append(LiveEntry(f"{entry}-{number}", Raw(wire.encode_trades(trades))))
    candles = tuple(candle for trade in last.values() for candle in fold([trade]))
    gaps = tuple(Gap("v", name, entry, entry, 1, 2, "open", "ours", None, 1) for name in last)
    signals = tuple(Signal("s", "v", name, entry, 1, 1, "1", "buy", 1.0, {}) for name in last)
    firings = tuple(Firing("a", entry, "u", "v", name, "gap", 1, None, None, "1", None, "") for name in last)
    accounts = tuple(new_account("v", name, Rules()) for name in last)
    unified = tuple(Unified(f"v:{name}", "1", entry, "", {}, {}) for name in last)
    prices = tuple(last.values())
    return LiveUpdate(tuple(entries), prices, candles, gaps, signals, firings, accounts, unified)


updates = st.lists(
    st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4), max_size=3), min_size=1, max_size=6
).map(lambda shapes: {(number, 0): an_update(number, shape) for number, shape in enumerate(shapes, 1)})


class FakeFeed:
    """A live stream in memory."""

    def __init__(self, stream: dict[Order, LiveUpdate]) -> None:
        self._stream = stream

    async def read(
        self, partition: int, first: Order, last: Order, *, strict: bool
    ) -> AsyncIterator[tuple[Order, LiveUpdate]]:
        for order, update in self._stream.items():
            if first <= order <= last:
                yield order, update


async def missed(stream: dict[Order, LiveUpdate], cursor: Cursor) -> list[tuple[Order, ChannelChange]]:
    feed: Any = FakeFeed(stream)
    catch_up = CatchUp(ChannelSources(feed, None, None, None), WILDCARDS)  # type: ignore[arg-type]
    found = catch_up._missed(0, cursor, max(stream), CHANNELS, decode=True, strict=True)
    return [(order, change) async for order, change in found if isinstance(change, ChannelChange)]


def encoded(change: ChannelChange) -> tuple[Channel, int, bytes]:
    """A change with the data of its message."""
    return change.channel, change.number, msgspec.json.encode(STREAMED[change.channel.kind].view(change.data))


@given(updates)
async def test_from_any_message_on_the_rest_follows(stream: dict[Order, LiveUpdate]) -> None:
    everything = [
        (order, change)
        for order, update in stream.items()
        for change in changes_of(update, CHANNELS, decode=True)
    ]
    assert [(order, change.number) for order, change in everything] == sorted(
        {(order, change.number) for order, change in everything}
    )
    for index, (order, change) in enumerate(everything):
        found = await missed(stream, Cursor(0, order, change.number))
        assert [(order, encoded(change)) for order, change in found] == [
            (order, encoded(change)) for order, change in everything[index + 1 :]
        ]


@given(updates, st.integers(0, 6), st.integers(0, 2))
async def test_trades_that_history_holds_are_left_out(
    stream: dict[Order, LiveUpdate], entry: int, number: int
) -> None:
    stored = (entry, number)
    found = await missed({(0, 0): LiveUpdate(), **stream}, Cursor(0, (0, 0), stored=stored))
    trades = [change.entry for _, change in found if change.channel.kind == "trades"]
    assert all(order is not None and order > stored for order in trades)
    wanted = [
        change
        for update in stream.values()
        for change in changes_of(update, CHANNELS, decode=True)
        if change.channel.kind == "trades" and change.entry is not None and change.entry > stored
    ]
    assert len(trades) == len(wanted)


HUGE_US = 2**62


@pytest.mark.parametrize(
    "odd",
    [
        LiveUpdate(prices=(Trade("v", "A", 1, "1", "1", None, HUGE_US, 0),)),
        LiveUpdate(prices=(Trade("v", "A", 1, "one", "1", None, NOW_US, 0),)),
        LiveUpdate(candles=tuple(replace(ONE, symbol="B", open_time_us=HUGE_US) for _ in range(2))),
        LiveUpdate(candles=(replace(ONE, symbol="B", close=Decimal("NaN")),)),
        LiveUpdate(candles=(replace(ONE, symbol="B", close=Decimal("1E+999999999")),)),
        LiveUpdate(gaps=(Gap("v", "B", 1, 1, 1, HUGE_US, "open", "ours", None, 1),)),
        LiveUpdate(
            entries=(LiveEntry("1-0", Raw(wire.encode_trades([Trade("v", "A", -1, "1", "1", None, 1, 1)]))),)
        ),
    ],
)
def test_what_can_not_be_sent_is_left_out_and_counted(odd: LiveUpdate) -> None:
    rejected: list[Channel] = []
    assert list(changes_of(odd, CHANNELS, decode=True, reject=rejected.append)) == []
    assert rejected


@pytest.mark.parametrize("symbol", ["", "A", ":", "v:", ":A", "v A:B", "v:A:B", "\n:\0"])
def test_odd_names_are_those_of_no_channel(symbol: str) -> None:
    odd = LiveUpdate(unified=(Unified(symbol, "1", 1, "", {}, {}), Unified("v:A", "1", 1, "", {}, {})))
    assert [change.number for change in changes_of(odd, CHANNELS, decode=True)] == [1]


def test_an_invalid_trade_takes_none_of_its_neighbours_along() -> None:
    trades = [Trade("v", "A", number, "1", "1", None, NOW_US, NOW_US) for number in (1, -1, 2)]
    live = LiveUpdate(entries=(LiveEntry("1-0", Raw(wire.encode_trades(trades))),))
    (change,) = changes_of(live, CHANNELS, decode=True)
    assert change.data.trades.ids == [1, 2]


@given(updates)
def test_numbers_do_not_depend_on_who_asks(stream: dict[Order, LiveUpdate]) -> None:
    for update in stream.values():
        everything = {(change.channel, change.number) for change in changes_of(update, CHANNELS, decode=True)}
        apart = {
            (change.channel, change.number)
            for channel in CHANNELS
            for change in changes_of(update, {channel}, decode=True)
        }
        assert everything == apart
