"""The Protobuf schemas: their style, and that no change breaks clients that were built before."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )


def revision() -> str:
    """The revision that a change is compared with: the last shared one that it has, or else the last commit.

    The shared branch may have gone on meanwhile: what it has added since is not missing here.
    """
    if which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository: there is no former schema to compare with")
    for words in (
        ("merge-base", "HEAD", "origin/main"),
        ("rev-parse", "--verify", "--quiet", "HEAD^{commit}"),
    ):
        found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    pytest.fail("the repository has no commit")


def test_the_schemas_have_the_usual_style() -> None:
    found = run("lint")
    assert found.returncode == 0, found.stdout + found.stderr


def test_no_change_breaks_clients_that_were_built_before() -> None:
    found = run("breaking", "schema", "--against", f".git#ref={revision()},subdir=schema")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string size = 4;", "string size = 44;"),
        ("int64 trade_id = 2;", "string trade_id = 2;"),
        ("rpc GetPrice(", "rpc Price("),
    ],
)
def test_a_change_that_breaks_clients_is_found(tmp_path: Path, before: str, after: str) -> None:
    changed = tmp_path / "schema"
    shutil.copytree(ROOT / "schema", changed)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    path = changed / "tickplant" / "api" / "v1" / "market_data.proto"
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
    assert run("breaking", changed, "--against", ROOT / "schema").returncode == 100
