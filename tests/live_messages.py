"""A websocket message of every type, provoked on a live API."""

from decimal import Decimal
from typing import Any

from api_plant import BTC, T0, Plant, Socket, candle, trade, update
from msgspec.structs import replace

from tickplant.bot import Rules, new_account
from tickplant.derived import Firing, Signal
from tickplant.market import Gap, SymbolId
from tickplant.wire import ConnectionStatus, LiveUpdate
from workers.roles.unified import Unifier

CHANNELS = [
    f"{kind}:binance:BTCUSDT"
    for kind in ("price", "trades", "gaps", "signals", "alerts", "bot", "unified", "stats")
] + ["candles:binance:BTCUSDT:1m", "candles:binance:BTCUSDT:3m", "connections"]
NEW = SymbolId("kraken", "NEW/EUR")
SIGNAL = Signal("cross", *BTC, 7, T0, 7, "61837.63", "buy", 0.31, {"sma_7": 60004.2, "sma_25": 1e-7})
FIRING = Firing("a1", 1, "ada", *BTC, "above", T0, 7, "61837.63", "61837.63", "61000", "sixty, thousand ✓")
GAP = Gap(*BTC, 4, 6, T0, T0 + 1, "open", "ours", None, 3)
CONNECTION = ConnectionStatus("binance/a:1/0", "binance", ("BTCUSDT",), "down", T0 + 1_000, "OSError: gone")


async def subscribe_to_everything(socket: Socket, since: str) -> list[dict[str, Any]]:
    """Send requests of every kind, and return the answers."""
    found: list[dict[str, Any]] = []
    await socket.ask(op="subscribe", id="all", channels=[*CHANNELS, "price:NOTHING"])
    await socket.ask(op="subscribe", id=2**63 - 1, channels=["trades:kraken:*"], snapshot=False)
    await socket.ask(op="subscribe", id=-5, channels=["trades:binance:ETHUSDT"], since=since)
    await socket.ask(op="unsubscribe", id=None, channels=["trades:binance:ETHUSDT"])
    await socket.ask(op="subscribe", id=[])
    await socket.ask(op="ping", id="last")
    while not found or found[-1].get("id") != "last":
        found.append(await socket.receive())
    return found


async def change_everything(plant: Plant) -> None:
    """Publish a change of every channel, and a channel that joins a wildcard."""
    price, account = trade(7), new_account(*BTC, Rules())
    live = replace(
        update(price, trade(8, price="0.00000001"), candles=[candle(count=9)], gaps=[GAP]),
        signals=(SIGNAL,),
        firings=(FIRING,),
        accounts=(replace(account, version=2, time_us=T0, price=Decimal("61837.63")),),
        unified=(Unifier(signals=[SIGNAL]).join(price),),
    )
    assert isinstance(live, LiveUpdate)
    await plant.store(trade(7), trade(8, price="0.00000001"))
    await plant.report(CONNECTION)
    await plant.publish(live)
    await plant.publish(update(replace(trade(1), venue=NEW.venue, symbol=NEW.symbol)), NEW)
    await plant.caught_up(NEW)
    plant.services.hub.publish_status([], live=True)


async def receive_every_change(socket: Socket) -> list[dict[str, Any]]:
    """Return messages until there was a change in each channel, and one of each other kind."""
    awaited = {*CHANNELS, "joined", "status"}
    found: list[dict[str, Any]] = []
    while awaited:
        message = await socket.receive()
        awaited -= {message["type"] if message["type"] in awaited else message.get("channel")}
        found.append(message)
    return found
