"""The command line: helps, exit codes, and what is imported when."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tickplant.cli import COMMANDS

HEAVY = {"asyncpg", "redis", "litestar", "websockets", "uvicorn", "rich", "asyncio", "prometheus_client"}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tickplant", *words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd="/",
        timeout=60,
    )


def test_help_names_every_command() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert re.findall(r"^    ([a-z]+)\b", ended.stdout, flags=re.MULTILINE) == [*COMMANDS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ended = run(command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"usage: tickplant {command}" in ended.stdout
    assert len(ended.stdout.splitlines()) > 12


@pytest.mark.parametrize("words", [["--help"], ["backtest", "--help"], ["doctor"]])
def test_a_reader_that_has_ended_is_no_failure(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "tickplant", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, "BrokenPipe" in ended.stderr) == (0, False)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from contextlib import suppress; from tickplant.cli import main\n"
        "with suppress(SystemExit): main(['--help'])\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0
    assert HEAVY & set(ended.stderr.split()) == set()


def test_invalid_settings_are_reported_without_a_traceback() -> None:
    ended = run("migrate", TICKPLANT_WORKERS="none", TICKPLANT_SYMBOL="x:Y")
    assert ended.returncode == 2
    assert ended.stderr.startswith("tickplant: wrong settings:\n  TICKPLANT_SYMBOL:")
    assert "TICKPLANT_WORKERS" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["up", "worker"])
def test_strategies_that_cannot_be_loaded_are_reported_before_anything_starts(command: str) -> None:
    ended = run(command, TICKPLANT_STRATEGIES="corss,no_such_module:It")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "TICKPLANT_STRATEGIES: corss: none of dip, cross, hop, anomaly" in ended.stderr
    assert "TICKPLANT_STRATEGIES: no_such_module:It: can't be imported" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["ingest", "worker", "api"])
def test_a_service_without_servers_prints_what_to_do(command: str, tmp_path: Path) -> None:
    ended = run(command, "--data", str(tmp_path))
    assert ended.returncode == 1
    assert (
        f"no servers are running on {tmp_path}: start them with `tickplant up --data {tmp_path}`"
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr


def test_an_unreachable_database_is_reported_without_a_traceback() -> None:
    ended = run("migrate", TICKPLANT_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert ended.returncode == 1
    assert ended.stderr.startswith("tickplant: the database can't be reached:")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--once"], "require --replay"),
        (["--replay", "/nowhere", "--demo"], "can't be combined"),
        (["--replay", "/nowhere"], "there is no /nowhere"),
    ],
)
def test_up_refuses_arguments_that_make_no_sense(words: list[str], message: str, tmp_path: Path) -> None:
    ended = run("up", "--data", str(tmp_path), *words, TICKPLANT_API_PORT="0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
