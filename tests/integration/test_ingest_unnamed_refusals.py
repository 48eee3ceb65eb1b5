"""Finnhub acknowledges no subscription, and its refusals name no symbol."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from ingesting import connections, ingesting, written
from working import until

from sandbox.faults import Fault, FaultPlan
from sandbox.live import LiveSource
from sandbox.server import SandboxOptions, serve
from sandbox.venues import VENUES
from tickplant.clock import now_us
from tickplant.market import SymbolId
from tickplant.redis_client import open_redis
from tickplant.wire import ConnectionStatus

AAPL, UNKNOWN = SymbolId("finnhub", "AAPL"), SymbolId("finnhub", "NOPE")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def reported(redis: Any, check: Callable[[ConnectionStatus], bool]) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return any(map(check, await connections(redis)))

    return reached


def with_trades(redis: Any) -> Callable[[], Awaitable[bool]]:
    async def arrived() -> bool:
        return bool(await written(redis))

    return arrived


def source() -> LiveSource:
    return LiveSource(VENUES["finnhub"], [AAPL.symbol], rate=200, seed=1, clock_us=now_us)


async def test_a_refused_subscription_is_reported_and_requested_again_until_trades_arrive(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.subscription.RETRY_REFUSED_S", 1.5)
    caplog.set_level(logging.INFO)
    options = SandboxOptions(plan=FaultPlan(1, {Fault.REFUSED: 1.0}))
    async with serve([source()], options=options) as venue:
        async with ingesting(redis_url, venue.addresses["finnhub"].ws_url, [AAPL]):
            seen: list[ConnectionStatus] = []  # it is requested again soon, and accepted

            def is_refused(status: ConnectionStatus) -> bool:
                seen.append(status)
                return status.state == "refused"

            await until(reported(redis, is_refused), "the refusal reported")
            status = seen[-1]
            assert "Subscription failed, please try again" in status.reason
            assert [(problem.symbol, problem.state) for problem in status.problems] == [("AAPL", "refused")]
            await until(with_trades(redis), "trades after another request")
            await until(
                reported(redis, lambda status: status.state == "live" and not status.problems),
                "the connection reported as live",
            )
        assert venue.status().venues["finnhub"].accepted == 1  # on the same connection
    assert len([record for record in caplog.records if "refuses" in record.message]) == 1


async def test_a_symbol_that_is_always_refused_does_not_hide_that_another_trades(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.subscription.RETRY_REFUSED_S", 0.1)
    async with (
        serve([source()]) as venue,
        ingesting(redis_url, venue.addresses["finnhub"].ws_url, [UNKNOWN, AAPL]),
    ):
        await until(
            reported(
                redis,
                lambda status: (
                    status.state == "live" and [problem.symbol for problem in status.problems] == ["NOPE"]
                ),
            ),
            "one symbol refused, the other one trading",
        )
        await until(with_trades(redis), "its trades")
        assert {trade.symbol for trade in await written(redis)} == {"AAPL"}


async def test_a_connection_that_sends_pings_but_no_trades_is_replaced(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_LONGEST_S", "_SHORTEST_WITHOUT_TRADES_S"):
        monkeypatch.setattr(f"ingest.silence_timer.{limit}", 2.0)
    async with (
        serve([source()], options=SandboxOptions(beat_s=0.1)) as venue,
        ingesting(redis_url, venue.addresses["finnhub"].ws_url, [AAPL]),
    ):
        await until(with_trades(redis), "trades")
        venue.playing.cancel()

        async def replaced() -> bool:
            return venue.status().venues["finnhub"].accepted >= 2

        await until(replaced, "another connection")
