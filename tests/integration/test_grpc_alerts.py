"""Alerts over gRPC: the same alerts as over REST, with the same checks."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from api_plant import T0, live, running_plant
from conftest import on_one_variant
from grpc_plant import GrpcPlant, refusal_of, serving_grpc, with_key
from keyed import bearer, new_key

from api.open_services import AccessSettings
from db.alerts.states import AlertRows
from db.pool import transaction
from tickplant.api.v1.alerts_pb2 import (
    CreateAlertRequest,
    DeleteAlertRequest,
    GetAlertRequest,
    ListAlertsRequest,
    ListFiringsRequest,
    NotifyTags,
    UpdateAlertRequest,
)
from tickplant.derived import Alert, AlertState, Firing
from tickplant.streams import partition_of

pytestmark = on_one_variant


@pytest.fixture
async def served(redis_url: str, database_url: str) -> AsyncIterator[GrpcPlant]:
    async with running_plant(redis_url, database_url, alerts_per_user=3, notify_tags=["ops"]) as plant:
        await live(plant)
        async with serving_grpc(plant) as running:
            yield running


async def create(served: GrpcPlant, **fields: Any) -> Any:
    values = {"symbol": "BTCUSDT", "kind": "above", "price": "62000.50"} | fields
    given = {name: value for name, value in values.items() if value is not None}
    return (await served.alerts.CreateAlert(CreateAlertRequest(**given))).alert


async def test_an_alert_is_created_changed_listed_and_deleted(served: GrpcPlant) -> None:
    made = await create(served, note="sell", repeat=True, cooldown_s=60, hysteresis="0.001", notify=["ops"])
    assert (made.symbol, made.price, made.hysteresis) == ("binance:BTCUSDT", "62000.50", "0.001")
    assert (made.state, made.user, made.active, list(made.notify)) == ("pending", "default", True, ["ops"])
    assert not made.HasField("key_id")
    assert not made.HasField("last_fired_us")
    view = await served.plant.get(f"/api/v1/alerts/{made.alert_id}")
    assert (view["note"], view["cooldown_s"], view["repeat"]) == ("sell", 60, True)
    change = UpdateAlertRequest(
        alert_id=made.alert_id, price="63000", repeat=False, notify=NotifyTags(), note="", active=False
    )
    changed = (await served.alerts.UpdateAlert(change)).alert
    assert (changed.version, changed.price, changed.repeat, list(changed.notify)) == (2, "63000", False, [])
    assert (changed.note, changed.active, changed.cooldown_s) == ("", False, 60)
    found = (await served.alerts.GetAlert(GetAlertRequest(alert_id=made.alert_id))).alert
    assert found == changed
    listed = await served.alerts.ListAlerts(ListAlertsRequest(symbol="BTCUSDT", user="default"))
    assert list(listed.alerts) == [changed]
    assert list(listed.notify_tags) == ["ops"]
    assert not (await served.alerts.ListAlerts(ListAlertsRequest(active_only=True))).alerts
    await served.alerts.DeleteAlert(DeleteAlertRequest(alert_id=made.alert_id))
    gone = await refusal_of(served.alerts.DeleteAlert(DeleteAlertRequest(alert_id=made.alert_id)))
    assert (gone.code, gone.info.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_ALERT")


async def test_a_repeated_request_creates_no_second_alert(served: GrpcPlant) -> None:
    first = await create(served, idempotency_key="one")
    assert await create(served, idempotency_key="one") == first
    request = CreateAlertRequest(symbol="BTCUSDT", kind="above", price="1", idempotency_key="one")
    refusal = await refusal_of(served.alerts.CreateAlert(request))
    assert refusal.code == grpc.StatusCode.ALREADY_EXISTS
    assert refusal.fields == ["idempotency_key"]


async def test_firings_are_listed_in_pages(served: GrpcPlant) -> None:
    made = await create(served)
    alert = Alert(
        alert_id=made.alert_id,
        version=1,
        user="default",
        venue="binance",
        symbol="BTCUSDT",
        kind="above",
        price="62000.50",
    )
    firings = [
        Firing(
            *(alert.alert_id, number, alert.user, alert.venue, alert.symbol, alert.kind),
            *(T0 + number, number, "62001", "62001", alert.price, ""),
        )
        for number in range(1, 6)
    ]
    state = AlertState(alert, done=True, number=5, fired_us=T0 + 5)
    partition = partition_of("binance", "BTCUSDT", 4)
    async with transaction(served.plant.services.pool) as connection:
        await AlertRows(partition, [state], firings, []).write(connection, "1-0")
    first = await served.alerts.ListFirings(ListFiringsRequest(alert_id=made.alert_id, page_size=3))
    request = ListFiringsRequest(alert_id=made.alert_id, page_size=3, page_token=first.next_page_token)
    second = await served.alerts.ListFirings(request)
    found = [*first.firings, *second.firings]
    assert [each.number for each in found] == [5, 4, 3, 2, 1]
    assert [each.event_time_us - T0 for each in found] == [5, 4, 3, 2, 1]
    assert not second.next_page_token
    every = await served.alerts.ListFirings(ListFiringsRequest(symbol="BTCUSDT", user="default"))
    assert list(every.firings) == found
    assert (
        await served.alerts.GetAlert(GetAlertRequest(alert_id=made.alert_id))
    ).alert.last_fired_us == T0 + 5


async def test_wrong_alerts_name_the_field(served: GrpcPlant) -> None:
    for fields, field in (
        ({"price": "-1"}, "price"),
        ({"price": "a\0b"}, "price"),
        ({"price": None}, "price"),
        ({"kind": "abov"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"symbol": ""}, "symbol"),
        ({"window_s": 61}, "window_s"),
        ({"notify": ["nobody"]}, "notify"),
        ({"note": "a\nb"}, "note"),
        ({"user": ""}, "user"),
        ({"webhook_url": "ftp://example.org"}, "webhook_url"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
    ):
        values: dict[str, Any] = {"symbol": "BTCUSDT", "kind": "above", "price": "62000"} | fields
        given = {name: value for name, value in values.items() if value is not None}
        refusal = await refusal_of(served.alerts.CreateAlert(CreateAlertRequest(**given)))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT, refusal.text
        assert refusal.fields == [field], refusal.text
    for call, field in (
        (served.alerts.ListAlerts(ListAlertsRequest(user="a\0")), "user"),
        (served.alerts.ListAlerts(ListAlertsRequest(user="x" * 65)), "user"),
        (served.alerts.ListFirings(ListFiringsRequest(alert_id="a", user="b")), "alert_id"),
    ):
        assert (await refusal_of(call)).fields == [field]
    unknown = await refusal_of(served.alerts.GetAlert(GetAlertRequest(alert_id="a\0b")))
    assert unknown.code == grpc.StatusCode.NOT_FOUND


async def test_a_user_has_so_many_alerts(served: GrpcPlant) -> None:
    for _ in range(3):
        await create(served)
    refusal = await refusal_of(
        served.alerts.CreateAlert(CreateAlertRequest(symbol="BTCUSDT", kind="above", price="1"))
    )
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ALERTS")


async def test_alerts_belong_to_the_key_that_makes_them(redis_url: str, database_url: str) -> None:
    one = await new_key(database_url, "alerts", name="one")
    other = await new_key(database_url, "alerts", name="other")
    admin = await new_key(database_url, "admin", name="admin")
    reader = await new_key(database_url, "read", name="reader")
    async with (
        running_plant(redis_url, database_url, access=AccessSettings(host="0.0.0.0")) as plant,
        serving_grpc(plant) as served,
    ):
        request = CreateAlertRequest(symbol="BTCUSDT", kind="above", price="1")
        made = (await served.alerts.CreateAlert(request, metadata=with_key(one))).alert
        assert made.key_id == one.key_id
        known = GetAlertRequest(alert_id=made.alert_id)
        assert (await served.alerts.GetAlert(known, metadata=with_key(admin))).alert == made
        refused = {
            grpc.StatusCode.NOT_FOUND: served.alerts.GetAlert(known, metadata=with_key(other)),
            grpc.StatusCode.PERMISSION_DENIED: served.alerts.GetAlert(known, metadata=with_key(reader)),
            grpc.StatusCode.UNAUTHENTICATED: served.alerts.GetAlert(known),
        }
        for code, call in refused.items():
            assert (await refusal_of(call)).code == code
        answer = await plant.http.get(f"/api/v1/alerts/{made.alert_id}", headers=bearer(one))
        assert answer.status_code == 200
