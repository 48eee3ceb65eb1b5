"""One module decides which event loop processes run on."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tickplant import event_loop

ROOT = Path(__file__).parents[2]
FOLDERS = ("tickplant", "ingest", "workers", "api", "db", "maintenance", "sandbox", "bench")


async def _kind() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_it_is_uvloop() -> None:
    assert event_loop.run(_kind()) == "uvloop"


async def test_it_is_the_tests_own() -> None:
    assert await _kind() == "uvloop"


def test_it_is_asyncios_where_there_is_no_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(_kind()).startswith("asyncio.")


def test_no_other_module_makes_a_loop() -> None:
    made = re.compile(r"asyncio\.(run|Runner|new_event_loop)\(")
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    makers = {path.relative_to(ROOT).as_posix() for path in sources if made.search(path.read_text())}
    peers = {"bench/peers/cryptofeed/feed.py"}  # runs in an environment of its own
    assert makers - peers == {"tickplant/event_loop.py"}


def test_no_module_takes_the_loops_time_for_a_duration_within_a_callback() -> None:
    """The clock of a worker's pass, which doesn't return to the loop, is not the loop's."""
    assert "get_running_loop().time" not in (ROOT / "workers/partition.py").read_text()
