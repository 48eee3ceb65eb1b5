"""The registry of websocket channels, beside its documentation."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from api.live.catch_up import CatchUp
from api.live.channel_definitions import ChannelSources, PolledChannel, StreamedChannel
from api.live.channels import CHANNELS, STREAMED
from api.live.cursor import Order
from api.live.partition import LivePartition
from api.live.protocol import Channel
from api.live.wildcards import Wildcards
from api.routes.websocket import get_ws
from api.views.trades import trade_view
from tickplant import wire
from tickplant.market import SymbolId, Trade
from tickplant.wire import LiveEntry, LiveUpdate

DOCUMENT = Path(__file__).parents[2] / "docs" / "websocket.md"
TABLE = re.findall(
    r"^\| (`[^|]+`) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
)

TRADE = Trade("v", "A", 1, "1", "1", None, 1_700_000_000_000_000, 1)


def names_of(definition: StreamedChannel[Any] | PolledChannel) -> set[str]:
    """The names of a kind's channels, as the documentation writes them."""
    name = f"{definition.kind}:SYMBOL" if definition.of_symbol else definition.kind
    names = {f"{name}:INTERVAL" if definition.has_interval else name}
    return names | {definition.kind} if definition.all_symbols else names


def test_every_channel_is_documented_and_every_documented_channel_exists() -> None:
    documented = {name for names, *_ in TABLE for name in re.findall(r"`([^`]+)`", names)}
    assert documented == set().union(*map(names_of, CHANNELS))


def test_message_types_and_conflation_are_those_of_the_documentation() -> None:
    rows = {names: (then, slow) for names, _, then, slow in TABLE}
    for definition in CHANNELS:
        then, slow = next(row for names, row in rows.items() if f"`{definition.kind}" in names)
        conflated = isinstance(definition, PolledChannel) or definition.conflation_key is not None
        message = definition.kind if isinstance(definition, PolledChannel) else definition.message
        assert then.startswith(f"`{message}`")
        assert slow.startswith("only the newest" if conflated else "they are queued")


def test_the_description_of_the_endpoint_names_every_kind() -> None:
    described = str(get_ws.fn.__doc__)
    assert [definition.kind for definition in CHANNELS if f"`{definition.kind}" not in described] == []


def test_changes_are_numbered_as_in_the_cursors_that_clients_keep() -> None:
    order = ["price", "candles", "gaps", "signals", "alerts", "bot", "unified", "trades"]
    assert list(STREAMED) == order


class SlowHistory:
    """A history without trades, read only once it is let."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.let = asyncio.Event()

    async def newest_trades(self, symbol: SymbolId, limit: int) -> tuple[list[Trade], Order]:
        self.reading.set()
        await self.let.wait()
        return [], (0, 0)


class ShortStream:
    """A live stream that holds one update."""

    def __init__(self, update: LiveUpdate) -> None:
        self._update = update

    async def last_update(self, partition: int) -> Order:
        return (1, 0)

    async def read(
        self, partition: int, first: Order, last: Order, *, strict: bool
    ) -> AsyncIterator[tuple[Order, LiveUpdate]]:
        if first <= (1, 0) <= last:
            yield (1, 0), self._update


async def test_a_state_loaded_without_subscribers_misses_no_trade() -> None:
    trades = wire.encode_trades([TRADE])
    update = LiveUpdate((LiveEntry("1-0", Raw(trades)),))
    streams: Any = ShortStream(update)
    history: Any = SlowHistory()
    catch_up = CatchUp(ChannelSources(streams, history, None, None), Wildcards(client_channels=10))  # type: ignore[arg-type]
    partition = LivePartition(0)
    partition.restart((), complete=True)
    topic = partition.topic(Channel("trades", "v", "A"))
    partition.enter(topic)
    loading = asyncio.create_task(catch_up.load(partition, topic))
    await history.reading.wait()
    partition.leave(topic)
    partition.apply((1, 0), update, {})
    partition.enter(topic)
    history.let.set()
    await loading
    assert topic.state is not None
    assert msgspec.json.encode(topic.state.view()) == msgspec.json.encode([trade_view(TRADE)])
