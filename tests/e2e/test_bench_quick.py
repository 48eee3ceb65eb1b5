"""The benchmark runs every stage; its figures are for a quiet machine to give."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest
from conftest import REPOSITORY

from bench.stages import STAGES

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for temporary files that the database server's user can reach."""
    with tempfile.TemporaryDirectory(prefix="bench tests ") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKPLANT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "--quick", *arguments],
        cwd=REPOSITORY,
        env={**kept, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_quick_run_measures_every_stage(folder: Path) -> None:
    output, errors = start(folder, "--json", str(folder / "figures.json")).communicate()
    assert "Traceback" not in errors
    report = json.loads((folder / "figures.json").read_text())
    measured = {result["stage"] for result in report["results"]}
    skipped = {skip["what"] for skip in report["skipped"]}
    left_out = {"peers"} if skipped >= {"Go aggregator", "cryptofeed"} else set()
    assert measured | left_out | ({"page"} & skipped) == STAGES.keys()
    for stage in measured:
        assert f"### {stage}" in output
    for what in skipped:
        assert f"skipped: {what}" in output
    (whole,) = (result for result in report["results"] if result["case"] == "websocket to committed rows")
    assert whole["cpu"]["unit_us"].keys() >= {"worker", "postgres"}


def test_ctrl_c_ends_it_without_a_traceback_and_leaves_nothing(folder: Path) -> None:
    process = start(folder)
    assert process.stderr is not None
    while "fold" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == []
