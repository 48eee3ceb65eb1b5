"""A task that fails is started again, and takes no other along."""

import asyncio

import pytest

from ingest import supervision
from ingest.supervision import keep_running
from tickplant.errors import FatalError


@pytest.fixture(autouse=True)
def without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_FIRST_WAIT_S", 0.001)


async def cancelled_from_within() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


@pytest.mark.parametrize(
    "failure", [KeyError("x"), OverflowError("inf"), ExceptionGroup("g", [ValueError()])]
)
async def test_an_unexpected_error_ends_no_sibling(failure: Exception) -> None:
    stop, runs = asyncio.Event(), 0
    reasons: list[str] = []

    async def failing() -> None:
        nonlocal runs
        runs += 1
        if runs > 3:
            stop.set()
            return
        raise failure

    async def report(reason: str) -> None:
        reasons.append(reason)
        raise OSError("Redis is unavailable")

    async with asyncio.TaskGroup() as tasks:
        sibling = tasks.create_task(keep_running("sibling", stop.wait, stop, venue="v", task="feed"))  # type: ignore[arg-type]
        tasks.create_task(keep_running("failing", failing, stop, venue="v", task="history", report=report))
    assert sibling.done()
    assert runs == 4
    assert len(reasons) == 3
    assert type(failure).__name__ in reasons[0]


async def test_a_task_that_waited_for_one_that_was_cancelled_is_started_again() -> None:
    stop, runs = asyncio.Event(), 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await cancelled_from_within()

    await keep_running("it", run, stop, venue="v", task="feed")
    assert runs == 2


async def test_a_cancellation_and_a_fatal_error_end_it() -> None:
    stop = asyncio.Event()

    async def fatal() -> None:
        raise FatalError("wrong")

    with pytest.raises(FatalError, match="wrong"):
        await keep_running("it", fatal, stop, venue="v", task="feed")

    async def forever() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("it", forever, stop, venue="v", task="feed"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
