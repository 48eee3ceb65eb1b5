"""Alerts over REST: made, changed, deleted, listed, and sent to the workers."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest
from api_plant import BTC, ETH, PARTITIONS, Plant, all_pages, running_plant
from conftest import on_one_variant
from working import until

from db.alerts.states import AlertRows
from db.pool import transaction
from tickplant import wire
from tickplant.derived import Alert, AlertChange, AlertState, Change, Firing
from tickplant.market import SymbolId
from tickplant.streams import partition_of, trades_stream
from tickplant.webhooks import WebhookSettings

pytestmark = on_one_variant

T0_US = 1_723_161_240_000_000
ABOVE = {"symbol": "binance:BTCUSDT", "kind": "above", "price": "62000.50"}
WEBHOOKS = WebhookSettings("a secret of many characters", allowed=["127.0.0.1", "hooks.internal"])


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, alerts_per_user=4, webhooks=WEBHOOKS) as running:
        yield running


async def make(plant: Plant, status: int = 201, /, **fields: Any) -> Any:
    answer = await plant.http.post("/api/v1/alerts", json=ABOVE | fields)
    assert answer.status_code == status, answer.text
    return answer.json()


async def patch(plant: Plant, alert_id: str, status: int = 200, /, **fields: Any) -> Any:
    answer = await plant.http.patch(f"/api/v1/alerts/{alert_id}", json=fields)
    assert answer.status_code == status, answer.text
    return answer.json()


async def sent(plant: Plant, count: int, symbol: SymbolId = BTC) -> list[Change]:
    """So many changes, when they are in the stream of the symbol."""
    stream = trades_stream(partition_of(*symbol, PARTITIONS))

    async def there() -> bool:
        return bool(await plant.redis.xlen(stream) >= count)

    await until(there, f"{count} changes sent", timeout_s=20)
    entries: Any = await plant.redis.xrange(stream)
    return [wire.decode_change(fields[wire.CHANGE]) for _, fields in entries]


async def apply(
    plant: Plant, alert: Alert, *, deleted: bool = False, fired: int = 0, done: bool = False
) -> None:
    """Store what a worker's transaction stores when a change has arrived and the alert has fired."""
    firings = [
        Firing(
            *(alert.alert_id, number, alert.user, alert.venue, alert.symbol, alert.kind),
            *(T0_US + number, number, "62001", "62001", alert.price, alert.note),
        )
        for number in range(1, fired + 1)
    ]
    state = AlertState(alert, deleted, not done, done, fired, T0_US + fired if fired else None)
    deliveries = [(firing, alert.webhook_url) for firing in firings if alert.webhook_url is not None]
    partition = partition_of(alert.venue, alert.symbol, PARTITIONS)
    async with transaction(plant.services.pool) as connection:
        await AlertRows(partition, [state], firings, deliveries).write(connection, "1-0")


async def test_an_alert_that_is_made_is_sent_to_the_workers_of_its_symbol(plant: Plant) -> None:
    made = await make(plant, note="sell", repeat=True, cooldown_s=60, hysteresis="0.001")
    alert_id = made["alert_id"]
    assert made == {
        "alert_id": alert_id,
        "version": 1,
        "user": "default",
        "key_id": None,
        "symbol": "binance:BTCUSDT",
        "kind": "above",
        "price": "62000.50",
        "percent": None,
        "window_s": None,
        "silence_s": None,
        "repeat": True,
        "cooldown_s": 60,
        "hysteresis": "0.001",
        "webhook_url": None,
        "notify": [],
        "note": "sell",
        "active": True,
        "state": "pending",
        "firings": 0,
        "last_fired": None,
        "created_at": made["created_at"],
        "changed_at": made["created_at"],
    }
    assert await plant.get(f"/api/v1/alerts/{alert_id}") == made
    fields: dict[str, Any] = {
        "repeat": True,
        "cooldown_s": 60,
        "hysteresis": "0.001",
        "note": "sell",
        "price": "62000.50",
    }
    wanted = Alert(alert_id=alert_id, version=1, user="default", **BTC._asdict(), kind="above", **fields)
    assert await sent(plant, 1) == [AlertChange(wanted)]


async def test_the_state_is_the_workers_state(plant: Plant) -> None:
    alert_id = (await make(plant))["alert_id"]
    (change,) = await sent(plant, 1)
    assert isinstance(change, AlertChange)

    async def state() -> tuple[str, int]:
        view = await plant.get(f"/api/v1/alerts/{alert_id}")
        return view["state"], view["firings"]

    assert await state() == ("pending", 0)
    await apply(plant, change.alert)
    assert await state() == ("active", 0)
    await apply(plant, change.alert, fired=1, done=True)
    assert await state() == ("fired", 1)
    assert (await patch(plant, alert_id, active=False))["state"] == "pending"
    await apply(plant, (await sent(plant, 2))[1].alert, done=True)  # type: ignore[union-attr]
    assert (await state())[0] == "inactive"


async def test_a_change_takes_a_version_and_resets_no_more_than_necessary(plant: Plant) -> None:
    alert_id = (await make(plant))["alert_id"]
    for fields in ({"note": "n"}, {"price": "7"}, {"repeat": True}, {"active": False}, {"active": True}):
        view = await patch(plant, alert_id, **fields)
        assert {name: view[name] for name in fields} == fields
    answer = await plant.http.delete(f"/api/v1/alerts/{alert_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    last = (await until_version(plant, 7))[-1]
    assert last.deleted
    assert (last.alert.note, last.alert.price, last.alert.repeat, last.alert.begun) == ("n", "7", True, 6)
    assert (await plant.get(f"/api/v1/alerts/{alert_id}", 404))["code"] == "unknown_alert"
    assert (await patch(plant, alert_id, 404, note=""))["code"] == "unknown_alert"
    assert (await plant.http.delete(f"/api/v1/alerts/{alert_id}")).status_code == 404


async def until_version(plant: Plant, version: int) -> list[AlertChange]:
    """Changes up to a version: one that is overtaken by the next need not be sent."""
    changes: list[AlertChange] = []

    async def there() -> bool:
        changes[:] = [change for change in await sent(plant, 1) if isinstance(change, AlertChange)]
        return changes[-1].alert.version == version

    await until(there, f"version {version} sent", timeout_s=20)
    return changes


async def test_what_has_not_arrived_is_sent_again_and_what_has_is_not(plant: Plant) -> None:
    lost, arrived = [(await make(plant, symbol=str(symbol)))["alert_id"] for symbol in (BTC, ETH)]
    (change,) = await sent(plant, 1, ETH)
    await sent(plant, 1, BTC)
    await apply(plant, change.alert)  # type: ignore[union-attr]
    await plant.redis.delete(trades_stream(partition_of(*BTC, PARTITIONS)))
    await plant.services.pool.execute("update alert_changes set sent_at = sent_at - interval '6 seconds'")
    assert [change.alert.alert_id for change in await sent(plant, 1, BTC)] == [lost]  # type: ignore[union-attr]
    left = await plant.services.pool.fetch("select alert_id from alert_changes")
    assert [row["alert_id"] for row in left] == [lost]
    assert len(await sent(plant, 1, ETH)) == 1
    assert arrived != lost


async def test_alerts_of_a_user_on_a_symbol_and_active_ones(plant: Plant) -> None:
    mine = [(await make(plant, user="me", price=str(n)))["alert_id"] for n in (1, 2, 3)]
    theirs = (await make(plant, user="you", symbol="ETHUSDT"))["alert_id"]
    await patch(plant, mine[0], active=False)
    changes = [change.alert for change in await sent(plant, 3) if isinstance(change, AlertChange)]
    await apply(plant, next(change for change in changes if change.alert_id == mine[1]), fired=1, done=True)

    async def listed(**parameters: Any) -> list[str]:
        pages = await all_pages(plant, "/api/v1/alerts", "alerts", **parameters)
        return [view["alert_id"] for page in pages for view in page]

    for limit in (1, 2, 100):
        assert await listed(limit=limit) == [theirs, *reversed(mine)]
    assert await listed(user="me", limit=2) == mine[::-1]
    assert await listed(user="me", active_only="true") == [mine[2]]
    assert await listed(symbol="ethusdt") == [theirs]
    assert await listed(user="nobody") == []


async def test_firings_stay_when_the_alert_is_deleted(plant: Plant) -> None:
    alert_id = (await make(plant, note="x", webhook_url="http://127.0.0.1:9/key"))["alert_id"]
    (change,) = await sent(plant, 1)
    await apply(plant, change.alert, fired=3)  # type: ignore[union-attr]
    await plant.http.delete(f"/api/v1/alerts/{alert_id}")
    for path in (f"/api/v1/alerts/{alert_id}/firings", "/api/v1/alerts/firings"):
        pages = await all_pages(plant, path, "firings", limit=2)
        assert [firing["number"] for page in pages for firing in page] == [3, 2, 1]
        found = csv.DictReader(StringIO((await plant.http.get(path, params={"format": "csv"})).text))
        assert [(row["number"], row["threshold"]) for row in found] == [(n, "62000.50") for n in "321"]
    assert pages[0][0] == {
        "alert_id": alert_id,
        "number": 3,
        "user": "default",
        "symbol": "binance:BTCUSDT",
        "kind": "above",
        "event_time": "2024-08-08T23:54:00.000003Z",
        "trade_id": 3,
        "price": "62001",
        "value": "62001",
        "threshold": "62000.50",
        "note": "x",
    }
    assert (await plant.get("/api/v1/alerts/firings", symbol="ETHUSDT"))["firings"] == []
    assert (await plant.get("/api/v1/alerts/firings", user="you"))["firings"] == []
    await plant.services.pool.execute(
        "update webhooks set state = 'dead', reason = 'status 500', settled_at = now() where number = 2"
    )
    (dead,) = (await plant.get("/api/v1/alerts/webhooks", state="dead"))["webhooks"]
    assert (dead["firing"]["number"], dead["reason"], dead["due_at"]) == (2, "status 500", None)
    pages = await all_pages(plant, "/api/v1/alerts/webhooks", "webhooks", limit=2)
    assert [row["state"] for page in pages for row in page] == ["waiting", "dead", "waiting"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"price": None}, "price"),
    ({"price": "-1"}, "price"),
    ({"price": "0.0"}, "price"),
    ({"price": "1e3"}, "price"),
    ({"price": "NaN"}, "price"),
    ({"price": 1e21}, "price"),
    ({"price": True}, "price"),
    ({"repeat": 1}, "repeat"),
    ({"price": "1" * 21}, "price"),
    ({"kind": "over"}, "kind"),
    ({"kind": "gap"}, "price"),
    ({"kind": "silence", "price": None}, "silence_s"),
    ({"kind": "silence", "price": None, "silence_s": 0}, "silence_s"),
    ({"kind": "silence", "price": None, "silence_s": 5, "hysteresis": "0.1"}, "hysteresis"),
    ({"kind": "percent_change", "price": None, "percent": "5"}, "window_s"),
    ({"kind": "percent_change", "price": None, "percent": "0", "window_s": 60}, "percent"),
    ({"kind": "percent_change", "price": None, "percent": "-100", "window_s": 60}, "percent"),
    ({"kind": "percent_change", "price": None, "percent": "0.0000001", "window_s": 60}, "percent"),
    ({"kind": "percent_change", "price": None, "percent": "5", "window_s": 90}, "window_s"),
    ({"kind": "percent_change", "price": None, "percent": "5", "window_s": 86460}, "window_s"),
    ({"hysteresis": "1.1"}, "hysteresis"),
    ({"cooldown_s": -1}, "cooldown_s"),
    ({"user": ""}, "user"),
    ({"note": "a\u0000b"}, "note"),
    ({"nottice": "x"}, "nottice"),
    ({"webhook_url": "ftp://example.org"}, "webhook_url"),
    ({"webhook_url": "http://127.0.0.2/"}, "webhook_url"),
    ({"webhook_url": "http://169.254.169.254/latest"}, "webhook_url"),
]


async def refused(plant: Plant, method: str, path: str, fields: dict[str, Any]) -> Any:
    """The problem that a body is: wrong by itself, or not possible with the rest."""
    answer = await plant.http.request(method, path, json=fields)
    known = {400: "bad_parameter", 409: "conflict"}
    assert answer.json()["code"] == known[answer.status_code], fields
    return answer.json()


async def test_numbers_are_taken_as_they_are_written(plant: Plant) -> None:
    body = '{"symbol": "BTCUSDT", "kind": "above", "price": 59000.50, "hysteresis": 0.0010}'
    headers = {"content-type": "application/json"}
    answer = await plant.http.post("/api/v1/alerts", content=body, headers=headers)
    assert (answer.status_code, answer.json()["price"]) == (201, "59000.50")
    assert answer.json()["hysteresis"] == "0.0010"
    changed = await patch(plant, answer.json()["alert_id"], price=61000)
    assert changed["price"] == "61000"


async def test_every_wrong_field_is_named(plant: Plant) -> None:
    for fields, parameter in WRONG:
        answer = await refused(plant, "POST", "/api/v1/alerts", {**ABOVE, **fields})
        assert answer["parameter"] == parameter, fields
    alert_id = (await make(plant))["alert_id"]
    for fields, parameter in (
        ({"percent": "5"}, "percent"),
        ({"price": "-1"}, "price"),
        ({"price": None}, "price"),
        ({"symbol": "ETHUSDT"}, "symbol"),
        ({"webhook_url": "http://[::1]/"}, "webhook_url"),
    ):
        answer = await refused(plant, "PATCH", f"/api/v1/alerts/{alert_id}", fields)
        assert answer["parameter"] == parameter, fields
    assert (await plant.get(f"/api/v1/alerts/{alert_id}"))["version"] == 1


async def test_a_symbol_that_there_is_not_is_answered_with_near_ones(plant: Plant) -> None:
    answer = await make(plant, 404, symbol="BTCUSD")
    assert (answer["code"], answer["near"][0]) == ("unknown_symbol", "binance:BTCUSDT")


async def test_a_user_has_no_more_alerts_than_the_settings_allow(plant: Plant) -> None:
    answers = await asyncio.gather(
        *(plant.http.post("/api/v1/alerts", json=ABOVE | {"user": "me"}) for _ in range(7))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 3
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["code"] == "too_many_alerts"
    assert "TICKPLANT_ALERTS_PER_USER" in refused["detail"]
    made = next(answer.json() for answer in answers if answer.status_code == 201)
    await plant.http.delete(f"/api/v1/alerts/{made['alert_id']}")
    await make(plant, user="me")


async def test_webhooks_may_go_where_the_settings_allow_and_nowhere_without_a_secret(
    plant: Plant, redis_url: str, database_url: str
) -> None:
    view = await make(plant, webhook_url="http://127.0.0.1:9/hook?key=k")
    assert view["webhook_url"] == "http://127.0.0.1:9/hook?key=k"
    view = await patch(plant, view["alert_id"], webhook_url=None)
    assert view["webhook_url"] is None
    async with running_plant(redis_url, database_url) as off:
        answer = await make(off, 409, webhook_url="http://1.1.1.1/")
        assert (answer["parameter"], "TICKPLANT_WEBHOOK_SECRET" in answer["detail"]) == ("webhook_url", True)


async def test_a_page_of_elsewhere_can_change_nothing_behind_its_readers_back(plant: Plant) -> None:
    """A form or a script may send some kinds without the browser's asking first."""
    alert = f"/api/v1/alerts/{(await make(plant))['alert_id']}"
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/alerts", ABOVE),
        ("PATCH", alert, {"active": False}),
        ("PATCH", "/api/v1/bot", {"enabled": False}),
        ("DELETE", alert, None),
    ]
    for method, path, body in requests:
        for origin in ("https://elsewhere.example", "null"):
            answer = await plant.http.request(method, path, json=body, headers={"origin": origin})
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused"), (method, path)
        headers = {"origin": "https://elsewhere.example", "access-control-request-method": method}
        requested = await plant.http.options(path, headers=headers)
        assert "access-control-allow-origin" not in requested.headers
        if body is None:
            continue
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            content = json.dumps(body).encode()
            answer = await plant.http.request(method, path, content=content, headers={"content-type": kind})
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), path
    (alone,) = (await plant.get("/api/v1/alerts"))["alerts"]
    assert alone["version"] == 1
    own = await plant.http.delete(alert, headers={"origin": plant.address})
    assert own.status_code == 204


async def test_garbage_is_a_bad_request(plant: Plant) -> None:
    headers = {"content-type": "application/json"}
    bodies = (b"", b"{", b"[]", b"\xff", b"nul", b'{"note": "\xff"}', b"[" * 60_000)
    for garbage, status in *((body, 400) for body in bodies), (b" " * 100_000, 413):
        for method, path in (("POST", "/api/v1/alerts"), ("PATCH", "/api/v1/bot")):
            answer = await plant.http.request(method, path, content=garbage, headers=headers)
            assert answer.status_code == status, garbage[:20]
            assert answer.headers["content-type"] == "application/problem+json"
    for alert_id in ("x", "%00", "a%0Ab", "é"):
        for path in (alert_id, f"{alert_id}/firings"):
            assert (await plant.get(f"/api/v1/alerts/{path}", 404))["code"] == "unknown_alert"
    for path in ("alerts", "alerts/firings", "alerts/webhooks"):
        assert (await plant.get(f"/api/v1/{path}", 400, user="\0"))["parameter"] == "user"
    assert (await make(plant, 400, note="two\nlines"))["parameter"] == "note"
    assert (await make(plant, 400, user="line\n"))["parameter"] == "user"
    for after in ("x", (await page_of_two(plant))):
        answer = await plant.get("/api/v1/alerts/firings", 404, after=after)
        assert (answer["code"], answer["parameter"]) == ("unknown_page", "after")


async def page_of_two(plant: Plant) -> str:
    await make(plant)
    await make(plant)
    return str((await plant.get("/api/v1/alerts", limit=1))["next"])
