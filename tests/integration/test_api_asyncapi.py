"""docs/asyncapi.yaml is what the code describes, and what a live API sends."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from api_plant import Plant, live, running_plant, trade, update
from conftest import on_one_variant
from events import streaming
from live_messages import CHANNELS, change_everything, receive_every_change, subscribe_to_everything

from api.live.asyncapi import as_yaml

TEXT = (Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def closed(schema: Any) -> Any:
    """A schema without further fields, so that one that is not described is found."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(item) for name, item in schema.items()}
    return inner | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else inner


def kinds_of(channel: str) -> dict[str, jsonschema_rs.Validator]:
    """The validator of each message that a channel of the document has."""
    components = {"components": {"schemas": closed(DOCUMENT["components"]["schemas"])}}
    messages = DOCUMENT["components"]["messages"]
    return {
        name: jsonschema_rs.validator_for({**messages[name]["payload"], **components})
        for name in DOCUMENT["channels"][channel]["messages"]
    }


def kind_of(message: dict[str, Any], kinds: dict[str, jsonschema_rs.Validator]) -> str:
    """The only kind of message that describes one."""
    (found,) = [name for name, validator in kinds.items() if validator.is_valid(message)]
    return found


def test_the_document_is_what_the_code_describes() -> None:
    assert as_yaml() == TEXT, "run: python -m api.live.asyncapi > docs/asyncapi.yaml"


@on_one_variant
async def test_every_message_of_the_websocket_is_of_one_kind_and_every_kind_is_sent(plant: Plant) -> None:
    kinds = kinds_of("websocket")
    await plant.store(trade(1), trade(2))
    await plant.publish(update(trade(1), trade(2)))
    since = (await plant.get("/api/v1/trades/binance:ETHUSDT"))["cursor"]
    async with plant.socket() as socket:
        messages = await subscribe_to_everything(socket, since)
        await change_everything(plant)
        messages += await receive_every_change(socket)
        await socket.subscribe(*CHANNELS, since=since)  # now with the state of each
        for _ in CHANNELS:
            messages.append(await socket.receive_until("snapshot"))
    assert {kind_of(message, kinds) for message in messages} == kinds.keys() - {"request"}


@on_one_variant
async def test_every_event_is_of_one_kind(redis_url: str, database_url: str) -> None:
    kinds = kinds_of("events")
    found: set[str] = set()
    async with running_plant(redis_url, database_url) as plant:
        await live(plant)
        async with streaming(plant.http, *CHANNELS) as events:
            while "candlesSnapshot" not in found:
                event = await events.next()
                assert event
                found.add(kind_of(event.message, kinds))
            plant.services.event_gate.stop()
            while event := await events.next():
                found.add(kind_of(event.message, kinds))
    assert found >= {"ack", "streamClosed", "priceSnapshot"}


def test_requests_of_the_description_are_of_the_kind_of_requests() -> None:
    text = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text(encoding="utf-8")
    requests = [json.loads(line) for line in text.splitlines() if line.startswith('{"op":')]
    kinds = kinds_of("websocket")
    assert {kind_of(request, kinds) for request in requests} == {"request"}
    assert not kinds["request"].is_valid({"op": "subscribe", "channels": "price:BTCUSDT"})
    assert not kinds["priceUpdate"].is_valid(
        {"type": "price", "channel": "price:a:b", "cursor": "", "data": {}}
    )
