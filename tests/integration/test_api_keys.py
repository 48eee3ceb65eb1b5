"""API keys: what requests may do with and without them, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_plant import BTC, Plant, Socket, live, running_plant, trade, update
from conftest import on_one_variant
from keyed import bearer, new_key, revoke
from litestar.routes import HTTPRoute
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.access.middleware import scope_of
from api.app import create_app
from api.live.gate import WebsocketLimits
from api.open_services import AccessSettings, ServiceSettings, open_services
from tickplant.api_keys import NewKey, Scope, make_key
from tickplant.errors import SettingsError
from tickplant.webhooks import WebhookSettings

pytestmark = on_one_variant

OUTSIDE = AccessSettings(host="0.0.0.0", poll_s=0.05)
ALERT = {"symbol": "BTCUSDT", "kind": "above", "price": "62000"}


@pytest.fixture
async def reader(database_url: str) -> NewKey:
    return await new_key(database_url, "read", name="reader")


@pytest.fixture
async def plant(redis_url: str, database_url: str, reader: NewKey) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, access=OUTSIDE) as running:
        yield running


async def known(plant: Plant, key: NewKey) -> None:
    """Wait until the API knows a key that was made while it runs."""
    async with asyncio.timeout(10):
        while (  # noqa: ASYNC110 - a condition of the server's
            await plant.http.get("/api/v1/symbols", headers=bearer(key))
        ).status_code == 401:
            await asyncio.sleep(0.02)


async def ended(socket: Socket) -> ConnectionClosed:
    try:
        while True:
            await socket.receive()
    except ConnectionClosed as closed:
        return closed


async def test_without_a_key_other_addresses_answer_nothing_but_the_page_and_probes(plant: Plant) -> None:
    open_paths = {"/", "/docs", "/docs/openapi.json", "/health/live", "/health/ready"}
    paths = [*open_paths, "/health", "/metrics", "/api/v1/symbols", "/api/v1/alerts", "/ws", "/api/v1/bot"]
    for path in paths:
        answer = await plant.http.get(path)
        assert (answer.status_code == 401) == (path not in open_paths), path
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "tickplant keys create" in answer.json()["detail"]


async def test_every_route_needs_a_scope_unless_it_is_declared_open(plant: Plant) -> None:
    """A new route is closed unless its module says otherwise."""
    declared_open = {
        route.path
        for route in create_app(plant.services).routes
        if isinstance(route, HTTPRoute) and any(scope_of(each) is None for each in route.route_handlers)
    }
    pages = {path for path in declared_open if path.startswith("/docs")} | {
        "/",
        "/page/{version:str}/{name:str}",
    }
    assert declared_open == pages | {"/health/live", "/health/ready"}


async def test_the_probe_shows_its_details_only_to_those_who_may_read(plant: Plant, reader: NewKey) -> None:
    assert set((await plant.http.get("/health/ready")).json()) == {"status"}
    assert "redis" in (await plant.http.get("/health/ready", headers=bearer(reader))).json()


async def test_clients_of_binance_send_a_key_in_their_own_header(plant: Plant, reader: NewKey) -> None:
    path = "/binance/api/v3/time"
    assert (await plant.http.get(path, headers={"X-MBX-APIKEY": reader.text})).status_code == 200
    revoked = make_key().text
    assert (await plant.http.get(path, headers={"X-MBX-APIKEY": revoked})).status_code == 401
    both = bearer(reader) | {"X-MBX-APIKEY": "a key of Binance, which clients send to every server"}
    assert (await plant.http.get(path, headers=both)).status_code == 200


@pytest.mark.parametrize("scope", ["read", "alerts", "admin"])
async def test_a_key_may_do_what_its_scopes_say(plant: Plant, scope: Scope) -> None:
    key = await new_key(plant.database_url, scope)
    await known(plant, key)
    http = plant.http
    statuses = {
        "read": (await http.get("/api/v1/symbols", headers=bearer(key))).status_code,
        "alerts": (await http.post("/api/v1/alerts", json=ALERT, headers=bearer(key))).status_code,
        "admin": (await http.patch("/api/v1/bot", json={"enabled": False}, headers=bearer(key))).status_code,
    }
    allowed = {"read": ["read"], "alerts": ["read", "alerts"], "admin": ["read", "alerts", "admin"]}[scope]
    for needed, status in statuses.items():
        assert status in ((200, 201) if needed in allowed else (403,)), needed


@pytest.mark.parametrize(
    "text", ["x", "tp_", "tp_0123456789ab_" + "A" * 43, "tp_" + "é" * 20, "tp_0123456789ab_" + "A" * 9000]
)
async def test_an_unknown_key_is_refused_everywhere_else_too(plant: Plant, text: str) -> None:
    headers = [(b"authorization", f"Bearer {text}".encode())]
    for path in ("/api/v1/symbols", "/", "/health/live"):
        answer = await plant.http.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"


async def test_a_key_with_one_wrong_character_is_refused(plant: Plant, reader: NewKey) -> None:
    wrong = reader.text[:-1] + ("A" if reader.text[-1] != "A" else "B")
    assert (await plant.http.get("/api/v1/symbols", headers=bearer(wrong))).status_code == 401


async def test_a_proxy_may_use_another_scheme_for_itself(plant: Plant) -> None:
    answer = await plant.http.get("/health/live", headers={"authorization": "Basic dXNlcjpwYXNzd29yZA=="})
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["key", "api_key", "token", "since", "Access_Token"])
async def test_a_key_in_an_address_is_refused(plant: Plant, reader: NewKey, name: str) -> None:
    for path in ("/api/v1/symbols", "/health/live", "/ws"):
        answer = await plant.http.get(path, params={name: reader.text})
        assert (answer.status_code, answer.json()["code"]) == (400, "key_in_address"), path
        assert reader.text not in answer.text
    with pytest.raises(InvalidStatus) as refused:
        async with plant.socket(f"/ws?{name}={reader.text}"):
            pass
    assert json.loads(refused.value.response.body)["code"] == "key_in_address"


async def test_loopback_is_open_and_checks_keys_that_are_sent(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url) as plant:
        assert (await plant.http.post("/api/v1/alerts", json=ALERT)).status_code == 201
        assert (await plant.http.get("/api/v1/symbols", headers=bearer("tp_"))).status_code == 401


async def test_everybody_may_read_if_the_settings_say_so(redis_url: str, database_url: str) -> None:
    public = AccessSettings(host="0.0.0.0", public="read")
    async with running_plant(redis_url, database_url, access=public) as plant:
        assert (await plant.http.get("/api/v1/symbols")).status_code == 200
        assert (await plant.http.get("/metrics")).status_code == 200
        assert (await plant.http.get("/api/v1/alerts")).status_code == 401
        assert (await plant.http.patch("/api/v1/bot", json={"enabled": False})).status_code == 401
        await live(plant)
        async with plant.socket() as socket:
            await socket.subscribe("price:BTCUSDT")
            await socket.ask(op="subscribe", channels=["alerts"])
            assert (await socket.receive_until("error"))["code"] == "unauthorized"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "plant.example.org"])
async def test_other_addresses_are_not_served_without_any_key(
    redis_url: str, database_url: str, host: str
) -> None:
    with pytest.raises(SettingsError, match="tickplant keys create"):
        async with open_services(
            ServiceSettings(
                redis_url=redis_url,
                database_url=database_url,
                partitions=4,
                symbols=[BTC],
                alerts_per_user=1,
                webhooks=WebhookSettings(None),
                notify_tags=(),
                access=AccessSettings(host=host),
            ),
            WebsocketLimits(),
            asyncio.Event(),
        ):
            pass


async def test_an_alert_belongs_to_the_key_that_made_it(plant: Plant) -> None:
    scopes: dict[str, Scope] = {"ann": "alerts", "bob": "alerts", "root": "admin"}
    keys = {name: await new_key(plant.database_url, scope, name=name) for name, scope in scopes.items()}
    for key in keys.values():
        await known(plant, key)
    http = plant.http
    made = (
        await http.post("/api/v1/alerts", json=ALERT | {"user": "ann"}, headers=bearer(keys["ann"]))
    ).json()
    path = f"/api/v1/alerts/{made['alert_id']}"
    assert (made["key_id"], made["user"]) == (keys["ann"].key_id, "ann")
    for name, seen in (("ann", 1), ("bob", 0), ("root", 1)):
        headers = bearer(keys[name])
        assert len((await http.get("/api/v1/alerts", headers=headers)).json()["alerts"]) == seen, name
        assert (await http.get(path, headers=headers)).status_code == (200 if seen else 404), name
        assert (await http.get(f"{path}/firings", headers=headers)).status_code == (200 if seen else 404), (
            name
        )
        changed = await http.patch(path, json={"note": name}, headers=headers)
        assert changed.status_code == (200 if seen else 404), name
    assert (await http.delete(path, headers=bearer(keys["bob"]))).status_code == 404
    assert (await http.delete(path, headers=bearer(keys["ann"]))).status_code == 204
    for name, status in (("ann", 200), ("bob", 404), ("root", 200)):
        answer = await http.get(f"{path}/firings", headers=bearer(keys[name]))
        assert answer.status_code == status, name


async def test_a_repeated_request_creates_one_alert(plant: Plant) -> None:
    key = await new_key(plant.database_url, "alerts", name="ann")
    await known(plant, key)

    async def post(body: dict[str, Any], idempotency_key: str) -> Any:
        headers = bearer(key) | {"idempotency-key": idempotency_key}
        return await plant.http.post("/api/v1/alerts", json=body, headers=headers)

    answers = await asyncio.gather(*(post(ALERT, "one") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert (await post(ALERT, "two")).json()["alert_id"] != answers[0].json()["alert_id"]
    other = await post(ALERT | {"price": "1"}, "one")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    for malformed in ("", "a b", "x" * 256):
        assert (await post(ALERT, malformed)).status_code == 400
    listed = (await plant.http.get("/api/v1/alerts", headers=bearer(key))).json()["alerts"]
    assert len(listed) == 2


async def test_a_websocket_takes_its_key_as_header_subprotocol_or_first_message(
    plant: Plant, reader: NewKey
) -> None:
    await live(plant)
    protocols = [Subprotocol("tickplant"), Subprotocol(f"tickplant.key.{reader.text}")]
    async with plant.socket(additional_headers=bearer(reader)) as socket:
        await socket.subscribe("price:BTCUSDT")
    async with plant.socket(subprotocols=protocols) as socket:
        assert socket.connection.subprotocol == "tickplant"
        await socket.subscribe("price:BTCUSDT")
    async with plant.socket("/ws/price/BTCUSDT") as socket:
        await socket.ask(op="subscribe", id=1, channels=["price:BTCUSDT"])
        assert (await socket.receive())["code"] == "unauthorized"
        await socket.ask(op="auth", id=2, key=reader.text)
        assert await socket.receive_until("ack") == {"type": "ack", "id": 2, "op": "auth", "channels": []}
        await socket.receive_until("ack")  # of the channel in the address
        await plant.publish(update(trade(1)))
        assert (await socket.receive_until("price"))["data"]["trade_id"] == 1


async def test_a_websocket_with_a_wrong_key_is_closed(plant: Plant) -> None:
    wrong = make_key().text
    async with plant.socket() as socket:
        await socket.ask(op="auth", key=wrong)
        closed = await ended(socket)
        assert closed.rcvd is not None
        assert closed.rcvd.code == 3000
    for options in ({"additional_headers": bearer(wrong)}, {"subprotocols": [f"tickplant.key.{wrong}"]}):
        with pytest.raises(InvalidStatus) as refused:
            async with plant.socket(**options):
                pass
        assert refused.value.response.status_code == 401


async def test_a_websocket_that_sends_no_key_in_time_is_closed(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.client_keys.AUTH_S", 0.05)
    async with plant.socket() as socket:
        closed = await ended(socket)
    assert closed.rcvd is not None
    assert (closed.rcvd.code, "key" in closed.rcvd.reason) == (3000, True)


async def test_revoking_a_key_ends_requests_and_websockets_of_all_processes(
    redis_url: str, database_url: str, plant: Plant, reader: NewKey
) -> None:
    other = await new_key(database_url, "read", name="other")
    async with running_plant(redis_url, database_url, access=OUTSIDE) as second:
        for each in (plant, second):
            await live(each)
            await known(each, other)
        async with (
            plant.socket(additional_headers=bearer(reader)) as first_socket,
            second.socket() as second_socket,
            second.socket(additional_headers=bearer(other)) as other_socket,
        ):
            await second_socket.ask(op="auth", id=1, key=reader.text)
            await second_socket.receive_until("ack")
            await revoke(database_url, reader)
            for socket in (first_socket, second_socket):
                closed = await ended(socket)
                assert closed.rcvd is not None
                assert (closed.rcvd.code, "revoked" in closed.rcvd.reason) == (3000, True)
            for each in (plant, second):
                assert (await each.http.get("/api/v1/symbols", headers=bearer(reader))).status_code == 401
                assert (await each.http.get("/api/v1/symbols", headers=bearer(other))).status_code == 200
            await other_socket.subscribe("price:BTCUSDT")


async def test_a_page_of_an_allowed_origin_may_send_a_key(redis_url: str, database_url: str) -> None:
    origin = {"origin": "https://charts.example.org"}
    async with running_plant(redis_url, database_url, origins=["https://charts.example.org"]) as plant:
        asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        answer = await plant.http.options("/api/v1/symbols", headers=origin | asked)
        assert answer.is_success
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        refused = await plant.http.get("/api/v1/symbols", headers=origin | bearer("tp_"))
        assert refused.headers["access-control-allow-origin"] == origin["origin"]
