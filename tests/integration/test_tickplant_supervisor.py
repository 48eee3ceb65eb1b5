"""The supervisor with real processes: a process that ends is restarted, and the restart is logged."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

import pytest
from conftest import PARTITIONS, on_one_variant

from tickplant.errors import FatalError
from tickplant.local import RedisServer
from tickplant.local.supervisor import ManagedProcess, Supervisor

SANDBOX = ManagedProcess("sandbox", ("sandbox", "--port", "0", "--count", "10"), {})


class Lines:
    """The lines that the supervisor printed."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._more = asyncio.Event()

    def say(self, name: str, line: str) -> None:
        self.all.append(f"{name}: {line}")
        self._more.set()

    async def wait_for(self, pattern: str) -> str:
        async with asyncio.timeout(60):
            while True:
                for line in self.all:
                    if re.search(pattern, line):
                        return line
                self._more.clear()
                await self._more.wait()


@pytest.fixture
async def lines() -> Lines:
    return Lines()


def pids_of(marker: str) -> list[int]:
    """Return the processes that have the marker among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in arguments:
            found.append(int(folder.name))
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_killed_process_is_restarted_and_the_restart_is_logged(lines: Lines) -> None:
    seed = str(os.getpid() * 1000 + 1)
    role = ManagedProcess("sandbox", (*SANDBOX.arguments, "--seed", seed), {})
    supervisor = Supervisor(lines.say)
    async with supervisor.processes(role):
        await lines.wait_for("ws_url")
        (first,) = pids_of(seed)
        os.kill(first, SIGKILL)
        await lines.wait_for(r"sandbox: was terminated by SIGKILL; restarting it in 0\.25 s")
        await until(lambda: sum("ws_url" in line for line in lines.all) == 2)
        assert pids_of(seed) != [first]
    assert pids_of(seed) == []


async def test_a_role_announces_where_it_is(lines: Lines) -> None:
    async with Supervisor(lines.say).announced(SANDBOX) as line:
        assert '"ws_url"' in line
    assert not any("ws_url" in line for line in lines.all)


async def test_a_role_that_ends_before_its_announcement_is_not_tried_again(lines: Lines) -> None:
    hopeless = ManagedProcess("sandbox", ("sandbox", "--capture", "/nowhere"), {})
    with pytest.raises(FatalError, match="sandbox did not start"):
        async with Supervisor(lines.say).announced(hopeless):
            pass
    assert not any("restarting it" in line for line in lines.all)


async def test_wrong_settings_of_a_role_end_everything(lines: Lines) -> None:
    supervisor = Supervisor(lines.say)
    with pytest.raises(FatalError, match="sandbox can't run with these settings"):
        async with supervisor.processes(
            ManagedProcess("sandbox", SANDBOX.arguments, {"TICKPLANT_WORKERS": "none"})
        ):
            await supervisor.failed()


STUCK = """
import threading, time
from workers.strategies import Strategy

threading.Thread(target=time.sleep, args=(600,)).start()

class Stuck(Strategy):
    name = "stuck"
    trades = True

    def trade(self, trade):
        pass
"""


@on_one_variant
async def test_a_process_does_not_wait_for_threads_of_a_users_strategy(
    lines: Lines, redis_url: str, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_STRATEGIES": "cross,stuck:Stuck",
        "PYTHONPATH": str(tmp_path),
    }
    async with Supervisor(lines.say).processes(ManagedProcess("worker", ("worker",), environment)):
        await lines.wait_for("worker: .*partition")
    assert any("worker has stopped" in line for line in lines.all)
    assert not any("killed" in line for line in lines.all), lines.all


async def test_a_server_that_cannot_be_restarted_is_tried_until_it_can(lines: Lines, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    supervisor = Supervisor(lines.say)
    async with supervisor.server("redis", server):
        settings = tmp_path / "redis.conf"  # written at each start
        settings.unlink()
        settings.mkdir()
        assert server.pid is not None
        os.kill(server.pid, SIGKILL)
        await lines.wait_for("redis: .*; trying again in")
        settings.rmdir()
        await until(lambda: server.pid is not None)
    assert server.pid is None


async def test_a_killed_server_is_started_again_at_the_same_address(lines: Lines, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with Supervisor(lines.say).server("redis", server):
        url, first = server.url, server.pid
        assert first is not None
        os.kill(first, SIGKILL)
        await lines.wait_for("redis: was terminated by SIGKILL; restarting it")
        await until(lambda: server.pid not in (None, first))
        assert server.url == url
    assert server.pid is None
