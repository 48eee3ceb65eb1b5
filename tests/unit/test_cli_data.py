"""Which data folder a command is about, and which contradictions are refused."""

import asyncio
import fcntl
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tickplant.cli.ignored_folder import refuse_ignored_folder
from tickplant.errors import FatalError, SettingsError
from tickplant.local.addresses import open_database_server
from tickplant.local.data_folder import briefly_used, data_folder, folder_in_use, start_command, used
from tickplant.settings import Settings

Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Leave what servers leave in a folder below the working directory, or what they hold while they run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tickplant.local.data_folder._platform_folder", lambda: tmp_path / "platform")
    with ExitStack() as running:

        def make(name: str, *, used_s: int, runs: bool = False) -> Path:
            for server in ("redis", "postgres"):
                lock = tmp_path / name / server / "lock"
                lock.parent.mkdir(parents=True)
                file = running.enter_context(lock.open("w"))
                if runs:
                    fcntl.flock(file, fcntl.LOCK_EX)
                os.utime(lock, (used_s, used_s))
            return tmp_path / name

        yield make


def test_without_any_data_it_is_where_up_would_put_them(plant: Plant, tmp_path: Path) -> None:
    assert folder_in_use(Settings()) == data_folder(Settings()) == tmp_path / "platform"
    named = Settings(data=Path("named"))
    assert folder_in_use(named) == data_folder(named) == tmp_path / "named"


def test_it_is_the_folder_whose_servers_run_and_else_the_one_used_last(plant: Plant) -> None:
    plant("platform", used_s=1)
    demo = plant(".demo/live", used_s=2)
    assert folder_in_use(Settings()) == demo
    replay = plant("platform/replay", used_s=3)
    assert folder_in_use(Settings()) == replay
    running = plant(".demo/synthetic", used_s=1, runs=True)
    assert folder_in_use(Settings()) == running
    plant("elsewhere", used_s=9, runs=True)
    assert folder_in_use(Settings()) == running


def test_a_folder_that_is_named_counts_with_what_is_below_it(plant: Plant) -> None:
    plant(".demo/live", used_s=9, runs=True)
    below = plant("named/live", used_s=1)
    assert folder_in_use(Settings(data=Path("named"))) == below
    own = plant("named", used_s=0)
    assert folder_in_use(Settings(data=Path("named"))) == own


def test_several_that_run_are_named(plant: Plant) -> None:
    first, second = (plant(name, used_s=1, runs=True) for name in (".demo/live", "platform"))
    with pytest.raises(FatalError, match=f"{first}, {second}: choose one with --data"):
        folder_in_use(Settings())


def test_a_replay_that_ended_before_the_demo_is_not_the_last_one(plant: Plant) -> None:
    demo = plant(".demo/live", used_s=1)
    plant("platform/replay", used_s=2)
    with used(demo):
        pass
    assert folder_in_use(Settings()) == demo


def test_a_server_started_by_a_command_for_itself_does_not_change_the_choice(plant: Plant) -> None:
    demo = plant(".demo/live", used_s=2)
    other = plant("platform", used_s=1)
    with briefly_used(other / "postgres"):
        (other / "postgres" / "lock").touch()
    assert folder_in_use(Settings()) == demo
    with briefly_used(other / "new"):  # a database that it creates
        pass


def test_a_command_that_may_create_a_database_takes_the_one_that_runs(plant: Plant) -> None:
    demo = plant(".demo/live", used_s=1, runs=True)
    (demo / "postgres" / "port").write_text("20001", encoding="ascii")

    async def address() -> str:
        async with open_database_server(Settings(), create=True) as url:
            return url

    assert asyncio.run(address()).endswith("@127.0.0.1:20001/tickplant")


def test_missing_servers_are_reported_with_how_to_start_them(tmp_path: Path) -> None:
    assert start_command(tmp_path / ".demo" / "live") == "tickplant up --demo"
    assert start_command(tmp_path) == f"tickplant up --data {tmp_path}"


REDIS, DATABASE = "TICKPLANT_REDIS_URL", "TICKPLANT_DATABASE_URL"
URLS = {REDIS: "redis://host", DATABASE: "postgresql://host/d"}


@pytest.mark.parametrize(
    ("command", "option", "urls", "refused"),
    [
        ("up", True, {REDIS, DATABASE}, "--data"),
        ("up", False, {REDIS, DATABASE}, "TICKPLANT_DATA"),
        ("up", True, {DATABASE}, None),
        ("worker", True, {REDIS}, None),
        ("ingest", True, {REDIS}, "--data"),
        ("ingest", True, {DATABASE}, None),
        ("export", True, {DATABASE}, "--data"),
        ("export", False, {DATABASE}, None),
        ("export", False, {REDIS, DATABASE}, "TICKPLANT_DATA"),
        ("export", True, set(), None),
        ("replay", True, {REDIS, DATABASE}, None),
    ],
)
def test_a_folder_that_would_be_ignored_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    option: bool,
    urls: set[str],
    refused: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKPLANT_DATA", str(tmp_path))  # as the option does, too
    for name in urls:
        monkeypatch.setenv(name, URLS[name])
    replay = command == "replay"
    args = Namespace(
        command="up" if replay else command,
        data=str(tmp_path) if option else None,
        replay=[tmp_path] if replay else None,
        into=None,
    )
    if refused is None:
        refuse_ignored_folder(args)
        return
    with pytest.raises(SettingsError) as raised:
        refuse_ignored_folder(args)
    assert raised.value.problems[0].startswith(
        f"{refused}: names a folder for embedded servers, but TICKPLANT_"
    )
