"""Alerts from the request to their receivers: set over REST, fired by real workers, and delivered."""

import json
from typing import Any

from api_plant import Plant, all_pages, live, running_plant
from conftest import on_one_variant
from receiving import receiving
from working import ALL_ROLES, START_US, publishing, trade, until, working

from tickplant.market import SymbolId
from tickplant.notifications import NotificationSettings, Notifier, SignalRoute, parse_targets
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


async def test_alerts_and_signals_from_the_trade_to_the_message(redis_url: str, database_url: str) -> None:
    async with receiving() as receiver:
        targets = parse_targets(
            f"ops=json://127.0.0.1:{receiver.port}/ops me=json://127.0.0.1:{receiver.port}/me"
        )
        settings = NotificationSettings(targets, [SignalRoute("dip", "me")], poll_s=0.05)
        roles = ALL_ROLES._replace(notifier=Notifier(settings))

        def texts(path: str) -> list[str]:
            bodies = [json.loads(request.body) for request in receiver.requests if request.path == path]
            return [line for body in bodies for line in body["message"].splitlines()]

        async with (
            working(redis_url, database_url, roles=roles, notifications=settings),
            running_plant(redis_url, database_url, symbols=[AAA], notify_tags=settings.tags) as plant,
            publishing(redis_url) as publisher,
        ):
            await live(plant)
            await publisher.publish([trade(1, at_us=START_US, price="12")])
            wanted: dict[str, Any] = {"symbol": "AAAUSDT", "kind": "crosses_above", "price": "10"}
            assert (await plant.get("/api/v1/alerts"))["notify_tags"] == ["ops", "me"]
            wanted["notify"] = ["gone"]
            refused = await plant.http.post("/api/v1/alerts", json=wanted)
            assert (refused.status_code, refused.json()["detail"]) == (
                409,
                "notify: no target in TICKPLANT_NOTIFY has the tag gone; tags are ops, me",
            )
            wanted |= {"notify": ["ops"], "note": "sell half", "repeat": True}
            alert = (await plant.http.post("/api/v1/alerts", json=wanted)).json()
            assert alert["notify"] == ["ops"]
            await in_state(plant, alert["alert_id"], "active")
            prices = ["9", "11", "9", "11", "1", *["100"] * 12, "50"]
            await publisher.publish(
                [trade(number, at_us=START_US, price=price) for number, price in enumerate(prices, 2)]
            )

            async def delivered() -> bool:
                page = await plant.get("/api/v1/alerts/notifications", state="delivered")
                return len(page["notifications"]) == 4

            await until(delivered, "three firings and a signal delivered", timeout_s=20)
            pages = await all_pages(
                plant, "/api/v1/alerts/notifications", "notifications", state="delivered", limit=2
            )
            assert [len(page) for page in pages] == [2, 2]
            found = sorted((row["target"], row["alert_id"]) for page in pages for row in page)
            assert found == [("me", None), *[("ops", alert["alert_id"])] * 3]
        (signal,) = texts("/me")
        assert signal.startswith("binance:AAAUSDT: dip signals buy at 50 (strength ")
        time = "(2023-11-14T22:14:00.000000Z) sell half"
        assert texts("/ops") == [
            f"binance:AAAUSDT: price 11 crossed above 10 {time}",
            f"binance:AAAUSDT: price 11 crossed above 10 {time}",
            f"binance:AAAUSDT: price 100 crossed above 10 {time}",
        ]
