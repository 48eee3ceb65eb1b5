"""A background task ends with the block that it runs beside."""

import asyncio

import pytest

from tickplant.background import background


async def test_the_task_has_ended_when_the_block_has() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def block() -> None:
        async with background(work()):
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    assert ended.is_set()


async def test_an_error_is_the_tasks_and_reported_when_it_happens() -> None:
    failed = asyncio.Event()

    async def work() -> None:
        raise ValueError("broken")

    async with background(work(), on_end=lambda _: failed.set()) as task:
        await failed.wait()
    with pytest.raises(ValueError, match="broken"):
        task.result()


async def test_a_result_is_kept() -> None:
    async def work() -> int:
        return 7

    async with background(work()) as task:
        await asyncio.wait([task])
    assert task.result() == 7


async def test_an_error_that_nobody_asks_for_is_logged_while_the_block_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise ValueError("broken")

    async with background(work()) as task:
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert "work" in caplog.text
        assert "ValueError: broken" in caplog.text


async def test_an_error_that_the_caller_asks_for_is_not_logged_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise ValueError("broken")

    async with background(work(), on_end=None) as task:
        await asyncio.wait([task])
    with pytest.raises(ValueError, match="broken"):
        task.result()
    assert not caplog.text
