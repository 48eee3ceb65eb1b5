"""The websocket in MessagePack: what JSON clients get, and requests in binary frames."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from api_plant import Plant, Socket, live, running_plant, trade, update
from conftest import on_one_variant
from keyed import new_key
from live_messages import change_everything, receive_every_change, subscribe_to_everything
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api.open_services import AccessSettings

pytestmark = on_one_variant

PRICE = "price:binance:BTCUSDT"
MSGPACK = Subprotocol("tickplant.msgpack")
JSON = Subprotocol("tickplant")


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


class MsgpackSocket(Socket):
    """A websocket client that speaks MessagePack."""

    async def ask(self, **request: Any) -> None:
        await self.connection.send(msgspec.msgpack.encode(request))

    async def receive(self) -> dict[str, Any]:
        frame = await self.connection.recv()
        assert isinstance(frame, bytes)
        message = msgspec.msgpack.decode(frame)
        assert isinstance(message, dict)
        return message


@asynccontextmanager
async def msgpack_socket(plant: Plant, path: str = "/ws", **options: Any) -> AsyncIterator[MsgpackSocket]:
    async with plant.socket(path, **options) as socket:
        yield MsgpackSocket(socket.connection)


def in_order(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(msgspec.json.encode(message).decode() for message in messages)


async def test_every_message_is_the_same_as_in_json(plant: Plant) -> None:
    await plant.store(trade(1), trade(2))
    await plant.publish(update(trade(1), trade(2)))
    since = (await plant.get("/api/v1/trades/binance:ETHUSDT"))["cursor"]
    async with plant.socket() as json_socket, msgpack_socket(plant, subprotocols=[MSGPACK]) as socket:
        answers = [await subscribe_to_everything(each, since) for each in (json_socket, socket)]
        assert in_order(answers[0]) == in_order(answers[1])
        assert {message["type"] for message in answers[0]} == {"ack", "pong", "error", "snapshot", "resumed"}
        await change_everything(plant)
        changes = [await receive_every_change(each) for each in (json_socket, socket)]
        assert in_order(changes[0]) == in_order(changes[1])
        types = {message["type"] for message in changes[0]}
        assert types >= {"trades", "candle", "gap", "stats", "connections", "joined", "status", "unified"}


async def test_a_message_is_encoded_once_and_only_for_clients_that_read_it(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Any] = []
    encoder = msgspec.msgpack.Encoder()

    def encode(message: Any) -> bytes:
        encoded.append(message)
        return encoder.encode(message)

    monkeypatch.setattr("api.live.frames.msgspec.msgpack.encode", encode)
    async with plant.socket() as json_socket:
        await json_socket.subscribe(PRICE)
        await json_socket.receive_until("snapshot")
        await plant.publish(update(trade(1)))
        await json_socket.receive_until("price")
        assert encoded == []
        async with (
            msgpack_socket(plant, "/ws?format=msgpack") as one,
            msgpack_socket(plant, "/ws/price/BTCUSDT?format=msgpack") as other,
        ):
            await one.subscribe(PRICE)
            for socket in (one, other):
                await socket.receive_until("snapshot")
            encoded.clear()
            await plant.publish(update(trade(2)))
            sockets: list[Socket] = [one, other, json_socket]
            for each in sockets:
                assert (await each.receive_until("price"))["data"]["trade_id"] == 2
    assert [message["type"] for message in encoded] == ["price"]


@pytest.mark.parametrize(
    ("path", "offered", "answered", "binary"),
    [
        ("/ws", [], None, False),
        ("/ws", [JSON], JSON, False),
        ("/ws", [MSGPACK], MSGPACK, True),
        ("/ws", [JSON, MSGPACK], MSGPACK, True),
        ("/ws?format=msgpack", [], None, True),
        ("/ws?format=msgpack", [JSON], JSON, True),
        ("/ws?format=json", [MSGPACK, JSON], JSON, False),
        ("/ws?format=json", [], None, False),
    ],
)
async def test_the_format_is_chosen_by_the_address_or_the_subprotocol(
    plant: Plant, path: str, offered: list[Subprotocol], answered: Subprotocol | None, binary: bool
) -> None:
    async with plant.socket(path, subprotocols=offered or None) as socket:
        assert socket.connection.subprotocol == answered
        await socket.ask(op="ping", id=1)  # in JSON, which is understood in both formats
        assert isinstance(await socket.connection.recv(), bytes) is binary


@pytest.mark.parametrize(
    ("path", "offered"), [("/ws?format=xml", None), ("/ws?format=json", [MSGPACK]), ("/ws?format=", None)]
)
async def test_a_format_that_is_unknown_or_contradicted_is_refused(
    plant: Plant, path: str, offered: list[Subprotocol] | None
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with plant.socket(path, subprotocols=offered):
            pass
    problem = msgspec.json.decode(refused.value.response.body or b"")
    assert (problem["status"], problem["parameter"]) == (400, "format")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b'{"op":"ping"}',
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 60_000,
        msgspec.msgpack.encode({"op": "ping", "id": msgspec.msgpack.Ext(5, b"x")}),
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode({"op": "ping", "id": 2**64 - 1}),
        b"\x82\xa2op\xa4ping\xa2id\xa1\xff",
    ],
)
async def test_what_is_no_request_gets_an_error_and_the_socket_stays_open(plant: Plant, data: bytes) -> None:
    async with msgpack_socket(plant, "/ws?format=msgpack") as socket:
        await socket.connection.send(data)
        assert (await socket.receive())["code"] in ("malformed", "invalid_request")
        await socket.ask(op="ping", id="still")
        assert await socket.receive() == {"type": "pong", "id": "still"}


async def test_a_number_that_messagepack_does_not_have_is_no_id(plant: Plant) -> None:
    async with msgpack_socket(plant, "/ws?format=msgpack") as socket:
        await socket.connection.send(f'{{"op":"ping","id":{2**80}}}')
        error = await socket.receive()
        assert (error["code"], error["id"]) == ("invalid_request", None)


async def test_a_key_as_subprotocol_goes_with_either_format(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    async with running_plant(redis_url, database_url, access=AccessSettings(host="0.0.0.0")) as plant:
        await live(plant)
        protocols = [MSGPACK, Subprotocol(f"tickplant.key.{key.text}")]
        async with msgpack_socket(plant, subprotocols=protocols) as socket:
            assert socket.connection.subprotocol == MSGPACK
            assert (await socket.subscribe(PRICE))["channels"] == [PRICE]
