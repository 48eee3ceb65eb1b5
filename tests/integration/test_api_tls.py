"""TLS: certificates in files, loaded again when they change; HTTP, websockets and slow clients over it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_plant import BTC, Plant, live, running_plant, trade, update
from certificates import make_certificate
from conftest import on_one_variant

from api.http.tls import TlsFiles
from api.live.gate import WebsocketLimits

pytestmark = on_one_variant

HSTS = "strict-transport-security"


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = TlsFiles(tmp_path / "plant.crt", tmp_path / "plant.key")
    make_certificate(made, "first")
    return made


@pytest.fixture
async def plant(redis_url: str, database_url: str, files: TlsFiles) -> AsyncIterator[Plant]:
    limits = WebsocketLimits(queue_bytes=200_000)
    async with running_plant(redis_url, database_url, tls=files, limits=limits) as running:
        await live(running)
        yield running


async def presented(plant: Plant) -> bytes:
    """The certificate that a new connection gets."""
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    url = httpx.URL(plant.address)
    _, writer = await asyncio.open_connection(url.host, url.port, ssl=unchecked)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return certificate


async def test_rest_is_served_over_tls_with_headers_for_browsers(plant: Plant) -> None:
    assert plant.address.startswith("https://")
    answer = await plant.http.get("/api/v1/symbols")
    assert answer.status_code == 200
    assert answer.headers[HSTS] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    page = await plant.http.get("/")
    assert "script-src" in page.headers["content-security-policy"]
    local = await plant.http.get(plant.address.replace("127.0.0.1", "localhost"))
    assert HSTS not in local.headers, "other servers on localhost speak no TLS"


async def test_websockets_are_written_to_directly_over_tls(plant: Plant) -> None:
    async with plant.socket("/ws/price/BTCUSDT") as single, plant.socket() as many:
        await many.subscribe("trades:BTCUSDT")
        await many.receive_until("snapshot")
        for number in range(200):
            trades = [trade(number * 20 + index) for index in range(20)]
            await plant.publish(update(*trades, entry=f"{number + 1}-0"))
        seen: list[int] = []
        while len(seen) < 4000:
            seen += [view["trade_id"] for view in (await many.receive_until("trades"))["data"]]
        assert seen == list(range(4000))
        assert (await single.receive_until("price"))["data"]["trade_id"] >= 0


async def test_a_client_that_does_not_read_is_closed_over_tls_too(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.direct_write.LINGER_S", 0.2)
    async with plant.socket(max_queue=1, ping_interval=None) as slow, plant.socket() as quick:
        for each in (slow, quick):
            await each.subscribe("trades:BTCUSDT")
            await each.receive_until("snapshot")
        hub = plant.services.hub
        number = 0
        async with asyncio.timeout(60):
            while len(hub.clients) == 2:
                trades = [trade(number * 500 + index) for index in range(500)]
                number += 1
                await plant.publish(update(*trades, entry=f"{number}-0"), BTC)
                assert (await quick.receive_until("trades"))["data"]
        slow.connection.transport.abort()


async def test_new_connections_get_the_certificate_that_replaces_the_former_one(
    plant: Plant, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.tls.POLL_S", 0.05)
    first = await presented(plant)
    async with plant.socket() as socket:
        make_certificate(files, "second")
        async with asyncio.timeout(20):
            while (second := await presented(plant)) == first:
                pass
        await socket.subscribe("price:BTCUSDT")
    assert second == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


async def test_a_client_without_tls_is_closed_and_harms_nobody(plant: Plant) -> None:
    url = httpx.URL(plant.address)
    for sent in (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 5000):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(10):
            assert b"HTTP" not in await reader.read()
        writer.close()
    assert (await plant.http.get("/health/live")).status_code == 200


async def test_a_proxy_says_whether_its_clients_speak_tls(redis_url: str, database_url: str) -> None:
    secure = {"x-forwarded-proto": "https", "host": "plant.example.org"}
    hosts = ["plant.example.org"]
    async with running_plant(redis_url, database_url, proxies=["127.0.0.1"], hosts=hosts) as plant:
        assert HSTS in (await plant.http.get("/health/live", headers=secure)).headers
    async with running_plant(redis_url, database_url, hosts=hosts) as plant:
        assert HSTS not in (await plant.http.get("/health/live", headers=secure)).headers
