"""Alerts from the request to the webhook: set over REST, fired by real workers, published and delivered."""

from typing import Any

from api_plant import Plant, live, running_plant
from conftest import on_one_variant
from receiving import receiving
from working import START_US, publishing, trade, until, working

from tickplant.market import SymbolId
from tickplant.webhooks import WebhookSettings

pytestmark = on_one_variant

AAA = SymbolId("binance", "AAAUSDT")
WEBHOOKS = WebhookSettings("a secret of many characters", allowed=["127.0.0.1"], poll_s=0.05)


async def in_state(plant: Plant, alert_id: str, state: str) -> dict[str, Any]:
    """The alert, when it is in a state."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update(await plant.get(f"/api/v1/alerts/{alert_id}"))
        return bool(found["state"] == state)

    await until(there, f"the alert is {state}", timeout_s=20)
    return found


async def test_an_alert_from_the_request_to_the_webhook(redis_url: str, database_url: str) -> None:
    async with (
        receiving() as receiver,
        working(redis_url, database_url, webhooks=WEBHOOKS),
        running_plant(redis_url, database_url, symbols=[AAA], webhooks=WEBHOOKS) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await publisher.publish([trade(1, at_us=START_US, price="12")])
        wanted = {"symbol": "AAAUSDT", "kind": "crosses_above", "price": "10", "webhook_url": receiver.url()}
        alert_id = (await plant.http.post("/api/v1/alerts", json=wanted)).json()["alert_id"]
        await in_state(plant, alert_id, "active")
        await socket.subscribe("alerts:AAAUSDT")
        assert (await socket.receive_until("snapshot"))["data"] == []

        async def next_firing(*trades: tuple[int, str]) -> Any:
            await publisher.publish([trade(number, at_us=START_US, price=price) for number, price in trades])
            return (await socket.receive_until("firing"))["data"]

        first = await next_firing((2, "12"), (3, "9"), (4, "11"), (5, "9"), (6, "11"))
        assert (first["number"], first["trade_id"], first["value"]) == (1, 4, "11")
        await in_state(plant, alert_id, "fired")
        assert (await plant.get("/api/v1/alerts", active_only="true"))["alerts"] == []

        await plant.http.patch(f"/api/v1/alerts/{alert_id}", json={"price": "20"})
        await in_state(plant, alert_id, "active")
        second = await next_firing((7, "19"), (8, "21"))
        assert (second["number"], second["trade_id"]) == (2, 8)
        assert (await in_state(plant, alert_id, "fired"))["firings"] == 2

        await plant.http.delete(f"/api/v1/alerts/{alert_id}")
        stored = await plant.get(f"/api/v1/alerts/{alert_id}/firings")
        assert stored["firings"] == [second, first]

        async def delivered() -> bool:
            page = await plant.get("/api/v1/alerts/webhooks", state="delivered")
            return len(page["webhooks"]) == 2

        await until(delivered, "both firings delivered", timeout_s=20)
        assert sorted(receiver.keys) == [f"{alert_id}-1", f"{alert_id}-2"]
