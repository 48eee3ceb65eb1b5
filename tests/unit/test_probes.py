"""Probes of services without an HTTP interface of their own, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tickplant.probes import LIVE, READY, ServiceReadiness, serve_probes


@pytest.fixture
def readiness() -> ServiceReadiness:
    return ServiceReadiness()


@pytest.fixture
async def http(readiness: ServiceReadiness) -> AsyncIterator[httpx.AsyncClient]:
    server = serve_probes("127.0.0.1", 0, readiness, live_s=1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.server_port}") as client:
        yield client
    await asyncio.to_thread(server.shutdown)
    server.server_close()


async def test_a_service_is_ready_when_all_its_parts_are(
    http: httpx.AsyncClient, readiness: ServiceReadiness
) -> None:
    answers = []
    for part, problem in (
        (None, None),
        ("a", None),
        ("b", "no database"),
        ("b", None),
        ("a", "it is stopping"),
    ):
        if part:
            readiness.note(part, problem)
        answer = await http.get(READY)
        answers.append((answer.status_code, answer.json().get("problem")))
    assert answers == [
        (503, "it is starting"),
        (200, None),
        (503, "b: no database"),
        (200, None),
        (503, "a: it is stopping"),
    ]


async def test_a_service_whose_event_loop_stands_still_is_not_live(http: httpx.AsyncClient) -> None:
    assert (await http.get(LIVE)).json() == {"status": "live"}
    url = str(http.base_url.join(LIVE))
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(httpx.get, url, timeout=60, trust_env=False)
        answer = asking.result()  # the event loop stands still until then
    assert answer.status_code == 503
    assert answer.json()["problem"] == "the event loop has not answered for 1 s"
    assert (await http.get(LIVE)).status_code == 200


async def test_metrics_are_served_beside_probes(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert b"tickplant_worker_lag_seconds" in answer.content
    assert "text/plain" in answer.headers["content-type"]


async def test_a_port_in_use_is_an_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(OSError, match="in use"):
        serve_probes("127.0.0.1", http.base_url.port or 0, ServiceReadiness())


async def test_it_listens_on_ipv6_too() -> None:
    server = serve_probes("::1", 0, ServiceReadiness())
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://[::1]:{server.server_port}{LIVE}")).status_code == 200
    await asyncio.to_thread(server.shutdown)
    server.server_close()
