"""Rate limits by key or address, over all API processes."""

import asyncio
from collections import Counter

import httpx
import pytest
from api_plant import Plant, running_plant
from conftest import OwnRedis, on_one_variant
from keyed import bearer, new_key
from websockets.exceptions import InvalidStatus

from api.access.rate_limits import RequestLimit
from api.open_services import AccessSettings
from tickplant import metrics

pytestmark = on_one_variant

PATH = "/api/v1/symbols"


def limited(requests: int, window_s: int = 3600) -> AccessSettings:
    return AccessSettings(rate=RequestLimit(requests, window_s))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes wait for Redis, however busy this machine is, and ask again at once after an outage."""
    monkeypatch.setattr("api.access.rate_limits._TIMEOUT_S", 30.0)
    monkeypatch.setattr("api.access.rate_limits._PAUSE_S", 0.0)


async def test_a_key_has_one_limit_over_all_processes(redis_url: str, database_url: str) -> None:
    key, other = [await new_key(database_url, "read", name=name) for name in ("noisy", "other")]
    access = limited(10)
    async with (
        running_plant(redis_url, database_url, access=access) as first,
        running_plant(redis_url, database_url, access=access) as second,
    ):
        answers = await asyncio.gather(
            *(each.http.get(PATH, headers=bearer(key)) for each in (first, second) for _ in range(10))
        )
        assert statuses(answers) == {200: 10, 429: 10}
        assert (await second.http.get(PATH, headers=bearer(other))).status_code == 200


async def test_responses_say_how_many_requests_remain(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    async with running_plant(redis_url, database_url, access=limited(3, 600)) as plant:
        for remaining, path in ((2, PATH), (1, "/api/v1/trades/NOWHERE"), (0, "/health/live")):
            answer = await plant.http.get(path, headers=bearer(key))
            assert answer.headers["ratelimit-policy"] == '"default";q=3;w=600', path
            assert answer.headers["ratelimit"].startswith(f'"default";r={remaining};t='), path
        refused = await plant.http.get(PATH, headers=bearer(key))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert 0 < int(refused.headers["retry-after"]) <= 200
        assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
        with pytest.raises(InvalidStatus) as handshake:
            async with plant.socket(additional_headers=bearer(key)):
                pass
        assert handshake.value.response.status_code == 429


async def test_a_noisy_client_takes_nothing_from_the_others(redis_url: str, database_url: str) -> None:
    """Of its requests only as many as it may send reach the database, however many it sends."""
    noisy, quiet = [await new_key(database_url, "read", name=name) for name in ("noisy", "quiet")]
    async with running_plant(redis_url, database_url, access=limited(40)) as plant:
        seen: Counter[int] = Counter()
        refused = asyncio.Event()

        async def make_noise() -> None:
            while True:
                answer = await plant.http.get(PATH, headers=bearer(noisy))
                seen[answer.status_code] += 1
                if answer.status_code == 429:
                    refused.set()

        tasks = [asyncio.create_task(make_noise()) for _ in range(8)]
        async with asyncio.timeout(30):
            await refused.wait()
        remaining = []
        for _ in range(30):
            answer = await plant.http.get(PATH, headers=bearer(quiet))
            assert answer.status_code == 200
            remaining.append(int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert remaining == list(range(39, 9, -1))
        assert seen[200] == 40


async def test_invalid_keys_count_for_the_address(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, access=limited(5), proxies=["127.0.0.1"]) as plant:
        headers = bearer("guess") | {"x-forwarded-for": "203.0.113.7"}
        answers = [await plant.http.get(PATH, headers=headers) for _ in range(8)]
        assert statuses(answers) == {401: 5, 429: 3}


async def test_only_named_proxies_say_who_the_client_is(redis_url: str, database_url: str) -> None:
    async def ask(plant: Plant, address: str) -> int:
        return (await plant.http.get(PATH, headers={"x-forwarded-for": address})).status_code

    access = limited(1)
    async with running_plant(redis_url, database_url, access=access, proxies=["127.0.0.0/8"]) as plant:
        assert [await ask(plant, "203.0.113.1") for _ in range(2)] == [200, 429]
        assert await ask(plant, "203.0.113.2") == 200
        assert await ask(plant, "198.51.100.9, 203.0.113.2") == 429, "the last one is the proxy's own word"
        assert [await ask(plant, f"2001:db8::{number}") for number in (1, 2)] == [200, 429]
    async with running_plant(redis_url, database_url, access=access, proxies=["192.0.2.1"]) as plant:
        assert [await ask(plant, "203.0.113.3") for _ in range(3)] == [200] * 3


async def test_without_redis_each_process_counts_alone(own_redis: OwnRedis, database_url: str) -> None:
    key = await new_key(database_url, "read")
    server = await own_redis()
    async with running_plant(server.url, database_url, access=limited(4)) as plant:
        assert (await plant.http.get(PATH, headers=bearer(key))).status_code == 200
        await server.stop()
        before = metrics.API_RATE_FALLBACKS._value.get()
        answers = [await plant.http.get(PATH, headers=bearer(key)) for _ in range(6)]
        assert statuses(answers) == {200: 4, 429: 2}
        assert metrics.API_RATE_FALLBACKS._value.get() - before == 6
        await server.start()
        async with asyncio.timeout(20):
            while True:
                answer = await plant.http.get(PATH, headers=bearer(key))
                if answer.status_code == 200:
                    break
