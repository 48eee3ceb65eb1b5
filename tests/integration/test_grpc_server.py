"""The gRPC server: keys, limits, TLS, health, reflection, its end, and clients that misbehave."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from api_plant import BTC, Plant, candle, live, running_plant, trade, update
from certificates import make_certificate
from conftest import OwnRedis, on_one_variant
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_plant import (
    GrpcPlant,
    Refusal,
    items_of,
    new_channel,
    next_of,
    refusal_of,
    running_grpc,
    serving_grpc,
    with_key,
)
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from keyed import new_key, revoke
from working import until

from api.access.rate_limits import RequestLimit
from api.grpc.server import SERVICES
from api.grpc.service import grpc_limits
from api.http.tls import TlsFiles
from api.live.gate import WebsocketLimits
from api.open_services import AccessSettings
from tickplant import metrics
from tickplant.api.v1.market_data_pb2 import (
    GetCandlesRequest,
    GetPriceRequest,
    GetTradesRequest,
    StreamCandlesRequest,
    StreamTradesRequest,
)
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.cli.grpc_check import ask_health
from tickplant.errors import FatalError
from tickplant.probes import ServiceReadiness
from tickplant.settings import Settings

pytestmark = on_one_variant

OUTSIDE = AccessSettings(host="0.0.0.0", poll_s=0.05)


@pytest.fixture
async def served(redis_url: str, database_url: str) -> AsyncIterator[GrpcPlant]:
    async with running_grpc(redis_url, database_url) as running:
        yield running


async def clients(plant: Plant, number: int) -> None:
    async def are() -> bool:
        return len(plant.services.hub.clients) == number

    await until(are, f"{number} clients")


def raw(served: GrpcPlant, method: str, data: bytes) -> Any:
    """A call whose request is any bytes."""
    return served.channel.unary_unary(f"/{method}")(data)


async def test_a_revoked_key_ends_streams_and_none_is_refused(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    async with (
        running_plant(redis_url, database_url, access=OUTSIDE) as plant,
        serving_grpc(plant) as served,
    ):
        await live(plant)  # or a stream would begin with a notice, which has no cursor
        request = GetTradesRequest(symbol="BTCUSDT")
        assert (await refusal_of(served.market.GetTrades(request))).code == grpc.StatusCode.UNAUTHENTICATED
        wrong = await refusal_of(served.market.GetTrades(request, metadata=with_key(key.text[:-1] + "!")))
        assert (wrong.code, wrong.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHORIZED")
        several = await refusal_of(
            served.market.GetTrades(request, metadata=(*with_key(key), ("authorization", "Bearer other")))
        )
        assert several.code == grpc.StatusCode.INVALID_ARGUMENT
        await served.market.GetTrades(request, metadata=with_key(key))
        stream = served.market.StreamTrades(StreamTradesRequest(skip_snapshot=True), metadata=with_key(key))
        cursor = (await next_of(stream)).cursor
        await revoke(database_url, key)
        ended = await refusal_of(stream)
        assert ended.code == grpc.StatusCode.UNAUTHENTICATED
        assert ended.info.metadata["cursor"] == cursor


async def test_calls_count_for_the_rate_limit_of_requests(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    access = AccessSettings(host="0.0.0.0", rate=RequestLimit(3, 60))
    async with (
        running_plant(redis_url, database_url, access=access) as plant,
        serving_grpc(plant) as served,
    ):
        request = GetTradesRequest(symbol="BTCUSDT")
        for left in (2, 1, 0):
            call = served.market.GetTrades(request, metadata=with_key(key))
            await call
            assert f";r={left};" in dict(await call.trailing_metadata())["ratelimit"]
        refusal = await refusal_of(served.market.GetTrades(request, metadata=with_key(key)))
        assert (refusal.code, refusal.info.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_REQUESTS",
        )
        assert 0 < refusal.retry.retry_delay.seconds <= 20
        assert ";r=0;" in refusal.metadata["ratelimit"]


async def test_a_trusted_proxy_names_the_client(redis_url: str, database_url: str) -> None:
    access = AccessSettings(public="read", rate=RequestLimit(1, 60))
    async with running_plant(redis_url, database_url, access=access) as plant:
        request = GetTradesRequest(symbol="BTCUSDT")
        forwarded = (("x-forwarded-for", "203.0.113.7"),)
        async with serving_grpc(plant, proxies=["127.0.0.1"]) as served:
            await served.market.GetTrades(request, metadata=forwarded)
            refusal = await refusal_of(served.market.GetTrades(request, metadata=forwarded))
            assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        async with serving_grpc(plant) as served:
            await served.market.GetTrades(request, metadata=forwarded)


async def test_streams_are_limited(redis_url: str, database_url: str) -> None:
    limits = grpc_limits(2, 200)
    async with running_grpc(redis_url, database_url, limits=limits) as served:
        request = StreamTradesRequest(skip_snapshot=True)
        streams = [served.market.StreamTrades(request) for _ in range(2)]
        for stream in streams:
            await next_of(stream)
        refusal = await refusal_of(served.market.StreamTrades(request))
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.UNAVAILABLE, "BUSY")
        assert refusal.retry.retry_delay.seconds > 0
        streams[0].cancel()
        await clients(served.plant, 1)
        await next_of(served.market.StreamTrades(request))


async def test_a_client_that_does_not_read_trades_is_cut_off_with_its_cursor(
    redis_url: str, database_url: str
) -> None:
    limits = WebsocketLimits(queue_bytes=200_000)
    async with running_grpc(redis_url, database_url, limits=limits) as served:
        request = StreamTradesRequest(symbols=["BTCUSDT"], skip_snapshot=True)
        slow, quick = served.market.StreamTrades(request), served.market.StreamTrades(request)
        first = await next_of(slow)
        assert await next_of(quick)
        await clients(served.plant, 2)
        number = 0
        async with asyncio.timeout(60):
            while len(served.plant.services.hub.clients) == 2:
                made = [trade(number * 500 + index) for index in range(500)]
                number += 1
                await served.plant.publish(update(*made, entry=f"{number}-0"), BTC)
                assert await items_of(quick, "trades", 500)
        # It reads again: first what was written before, then the status, whose cursor continues after that.
        ids: list[int] = []
        cursor = first.cursor
        try:
            while True:
                response = await next_of(slow)
                ids += [each.trade_id for each in response.trades]
                cursor = response.cursor
        except grpc.aio.AioRpcError as error:
            ended = Refusal(error)
        assert (ended.code, ended.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_SLOW")
        assert ended.info.metadata["cursor"] == cursor
        again = served.market.StreamTrades(StreamTradesRequest(symbols=["BTCUSDT"], cursor=cursor))
        while len(ids) < number * 500:
            response = await next_of(again)
            assert not response.lost
            ids += [each.trade_id for each in response.trades]
        assert ids == list(range(number * 500))


async def test_a_client_that_never_reads_harms_nobody(redis_url: str, database_url: str) -> None:
    limits = WebsocketLimits(queue_bytes=100_000)
    async with running_grpc(redis_url, database_url, limits=limits) as served:
        async with new_channel(served.port) as other:
            stub: Any = MarketDataStub(other)
            slow = stub.StreamTrades(StreamTradesRequest(symbols=["BTCUSDT"], skip_snapshot=True))
            await next_of(slow)
            number = 0
            async with asyncio.timeout(60):
                while served.plant.services.hub.clients:
                    made = [trade(number * 500 + index) for index in range(500)]
                    number += 1
                    await served.plant.publish(update(*made, entry=f"{number}-0"), BTC)
                    await served.plant.caught_up()
        await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))


async def test_a_slow_client_gets_the_last_state_of_every_candle(served: GrpcPlant) -> None:
    request = StreamCandlesRequest(symbols=["BTCUSDT"], skip_snapshot=True)
    slow = served.market.StreamCandles(request)
    await next_of(slow)
    last = 3000
    for number in range(last):
        states = [candle(number, count=count) for count in (1, 2)]
        closed = candle(number, count=3, closed=True)
        await served.plant.publish(update(candles=[*states, closed], entry=f"{number + 1}-0"))
    found: dict[int, Any] = {}
    while len(found) < last or not all(each.closed for each in found.values()):
        for each in (await next_of(slow)).candles:
            found[each.open_time_us] = each
    assert {each.trade_count for each in found.values()} == {3}


async def test_the_end_of_the_server_ends_streams_with_their_cursor(
    redis_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_plant(redis_url, database_url) as plant, AsyncExitStack() as stack:
        await live(plant)
        async with serving_grpc(plant) as served:
            port = served.port
            channel = await stack.enter_async_context(new_channel(port))
            market: Any = MarketDataStub(channel)
            stream = market.StreamTrades(StreamTradesRequest(skip_snapshot=True))
            cursor = (await next_of(stream)).cursor
            health: Any = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
            assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.SERVING
            ending = asyncio.create_task(refusal_of(stream))
            watching = asyncio.create_task(next_of(watch))
            stack.callback(watch.cancel)
        ended = await ending
        assert (ended.code, ended.info.reason) == (grpc.StatusCode.UNAVAILABLE, "RESTARTING")
        assert ended.info.metadata["cursor"] == cursor
        assert ended.retry.retry_delay.seconds > 0
        assert (await watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with serving_grpc(plant, port=port):  # a client of the same connection continues
            again = market.StreamTrades(StreamTradesRequest(cursor=cursor), wait_for_ready=True)
            assert (await next_of(again)).cursor
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_client_that_does_not_read_delays_the_end_by_seconds_only(
    redis_url: str, database_url: str
) -> None:
    async with running_plant(redis_url, database_url) as plant, AsyncExitStack() as stack:
        await live(plant)
        async with serving_grpc(plant) as served:
            channel = await stack.enter_async_context(new_channel(served.port))
            market: Any = MarketDataStub(channel)
            slow = market.StreamTrades(StreamTradesRequest(symbols=["BTCUSDT"], skip_snapshot=True))
            await next_of(slow)
            for number in range(100):
                made = [trade(number * 500 + index) for index in range(500)]
                await plant.publish(update(*made, entry=f"{number + 1}-0"), BTC)
            await plant.caught_up()
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 30
        ended = await refusal_of(slow)
        assert ended.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_a_port_in_use_is_an_error_that_names_the_setting(served: GrpcPlant) -> None:
    with pytest.raises(FatalError, match="TICKPLANT_GRPC_PORT"):
        async with serving_grpc(served.plant, port=served.port):
            pass


async def test_health_follows_the_servers(
    own_redis: OwnRedis, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.grpc.server.HEALTH_S", 0.05)
    redis = await own_redis()
    async with running_grpc(redis.url, database_url) as served:
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        for service in ("", *SERVICES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        unknown = await refusal_of(health.Check(health_pb2.HealthCheckRequest(service="none")))
        assert unknown.code == grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.SERVING
        stream = served.market.StreamTrades(StreamTradesRequest(skip_snapshot=True))
        await next_of(stream)
        await redis.stop()
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        while not (response := await next_of(stream)).HasField("stalled"):
            pass
        assert response.stalled
        refusal = await refusal_of(served.market.GetPrice(GetPriceRequest(symbol="BTCUSDT")))
        assert refusal.code == grpc.StatusCode.UNAVAILABLE
        assert refusal.retry.retry_delay.seconds > 0


async def unexpected() -> bool:
    raise ValueError("a fault of ours")


async def test_while_the_check_of_health_fails_it_says_that_nothing_is_served(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.grpc.server.HEALTH_S", 0.05)
    readiness = ServiceReadiness()
    async with (
        running_plant(redis_url, database_url) as plant,
        serving_grpc(plant, readiness=readiness) as served,
    ):
        await live(plant)
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())

        async def says(status: int, *, ready: bool) -> None:
            async def agrees() -> bool:
                return (readiness.problem is None) == ready

            while (await next_of(watch)).status != status:
                pass
            await until(agrees, "the probe says the same")

        await says(health_pb2.HealthCheckResponse.SERVING, ready=True)
        with monkeypatch.context() as patch:
            patch.setattr(plant.services.health, "can_serve", unexpected)
            await says(health_pb2.HealthCheckResponse.NOT_SERVING, ready=False)
        await says(health_pb2.HealthCheckResponse.SERVING, ready=True)
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_health_costs_redis_one_command(
    own_redis: OwnRedis, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.grpc.server.HEALTH_S", 0.02)
    redis = await own_redis()
    async with running_grpc(redis.url, database_url) as served:
        used: dict[str, Any] = {}

        async def many() -> bool:
            used.update(await served.plant.redis.info("commandstats"))
            return bool(used.get("cmdstat_hgetall", {}).get("calls", 0) > 50)

        await until(many, "health has been looked at many times")
    assert not {"cmdstat_eval", "cmdstat_evalsha"} & used.keys()


async def test_reflection_describes_the_services(served: GrpcPlant) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    request = reflection_pb2.ServerReflectionRequest

    async def ask(one: Any) -> Any:
        return await anext(aiter(stub.ServerReflectionInfo(iter([one]))))

    listed = await ask(request(list_services=""))
    names = {each.name for each in listed.list_services_response.service}
    assert {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} == names
    pool = DescriptorPool()
    for name in SERVICES:
        answer = await ask(request(file_containing_symbol=name))
        for data in answer.file_descriptor_response.file_descriptor_proto:
            pool.AddSerializedFile(data)
        assert pool.FindServiceByName(name).methods


@pytest.mark.parametrize("method", ["MarketData/GetTrades", "MarketData/StreamTrades", "Alerts/CreateAlert"])
async def test_malformed_requests_are_refused_and_logged_as_no_fault(
    served: GrpcPlant, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe", bytes(range(256))):
        refusal = await refusal_of(raw(served, f"tickplant.api.v1.{method}", data))
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED")
    unknown = await refusal_of(raw(served, "tickplant.api.v1.MarketData/Nothing", b""))
    assert unknown.code == grpc.StatusCode.UNIMPLEMENTED
    await refusal_of(raw(served, "grpc.health.v1.Health/Check", b"\xff"))
    huge = await refusal_of(raw(served, f"tickplant.api.v1.{method}", b"\x0a" + b"x" * 200_000))
    assert huge.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not [record for record in caplog.records if record.exc_info]
    assert (await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))).cursor is not None


async def test_odd_metadata_harms_only_its_call(served: GrpcPlant, caplog: pytest.LogCaptureFixture) -> None:
    request = GetTradesRequest(symbol="BTCUSDT")
    for metadata in (
        (("authorization", "Bearer"),),
        (("authorization", "Basic eDp5"), ("authorization", "Negotiate x")),
        (("x-forwarded-for", "; drop table"), ("x-binary-bin", bytes(range(256)))),
        tuple(("name", "value" * 10) for _ in range(50)),
    ):
        await served.market.GetTrades(request, metadata=metadata)
    for metadata in (
        (("authorization", "Bearer x"),),
        (("authorization", f"Bearer {'x' * 4000}"),),
        (("large", "x" * 100_000),),
    ):
        refusal = await refusal_of(served.market.GetTrades(request, metadata=metadata))
        assert refusal.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert not [record for record in caplog.records if record.exc_info]


async def test_connections_of_other_protocols_are_closed(
    served: GrpcPlant, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 5000):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()
    await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))
    assert not [record for record in caplog.records if record.exc_info]


async def test_deadlines_and_clients_that_leave_end_calls(
    served: GrpcPlant, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics.GRPC_CALLS.labels("MarketData/StreamTrades", "CANCELLED")._value.get()
    stream = served.market.StreamTrades(StreamTradesRequest(skip_snapshot=True), timeout=1)
    assert (await refusal_of(stream)).code == grpc.StatusCode.DEADLINE_EXCEEDED
    short = await refusal_of(served.market.GetCandles(GetCandlesRequest(symbol="BTCUSDT"), timeout=0))
    assert short.code == grpc.StatusCode.DEADLINE_EXCEEDED
    async with new_channel(served.port) as other:
        left: Any = MarketDataStub(other)
        for _ in range(5):
            await next_of(left.StreamCandles(StreamCandlesRequest(skip_snapshot=True)))
        await clients(served.plant, 5)
    await clients(served.plant, 0)
    assert metrics.GRPC_CALLS.labels("MarketData/StreamTrades", "CANCELLED")._value.get() == before + 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_tls_serves_the_certificate_that_replaces_the_former_one(
    redis_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.tls.POLL_S", 0.05)
    files = TlsFiles(tmp_path / "plant.crt", tmp_path / "plant.key")
    make_certificate(files, "first")

    def presented(port: int) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as secure:
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")

    async with running_plant(redis_url, database_url) as plant, serving_grpc(plant, tls=files) as served:
        await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))
        first = await asyncio.to_thread(presented, served.port)
        assert first == files.certificate.read_text()
        make_certificate(files, "second")
        async with asyncio.timeout(20):
            while await asyncio.to_thread(presented, served.port) == first:
                pass
        async with new_channel(served.port, files) as channel:
            stub: Any = MarketDataStub(channel)
            await stub.GetTrades(GetTradesRequest(symbol="BTCUSDT"))
        async with new_channel(served.port) as plain_channel:
            stub = MarketDataStub(plain_channel)
            refused = await refusal_of(stub.GetTrades(GetTradesRequest(symbol="BTCUSDT"), timeout=10))
            assert refused.code == grpc.StatusCode.UNAVAILABLE


async def test_the_check_over_tls_asks_for_health_whatever_the_certificate(
    own_redis: OwnRedis, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.grpc.server.HEALTH_S", 0.05)
    files = TlsFiles(tmp_path / "plant.crt", tmp_path / "plant.key")
    authority = TlsFiles(tmp_path / "authority.crt", tmp_path / "authority.key")
    make_certificate(authority, "authority")
    redis = await own_redis()

    async def check(port: int) -> str:
        settings = Settings(grpc_port=port, api_tls_cert=files.certificate)
        return (await asyncio.to_thread(ask_health, settings)).level

    async with running_plant(redis.url, database_url) as plant:
        await live(plant)
        for names in ("DNS:*.example.com", "IP:2001:db8::1"):
            make_certificate(files, "plant", names=names, authority=authority)
            async with serving_grpc(plant, tls=files) as served:
                assert await check(served.port) == "ok"
        async with serving_grpc(plant, tls=files) as served:
            await redis.stop()

            async def warned() -> bool:
                return await check(served.port) == "warn"

            await until(warned, "the check says that it can't serve")
        assert await check(served.port) == "fail"
