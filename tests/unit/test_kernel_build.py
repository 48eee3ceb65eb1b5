"""The kernel is built where it can be, and pure Python is used, with the reason, where it can't."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kernel_build


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where the extension is built instead of beside its source."""
    path = tmp_path / kernel_build.BUILT.name
    monkeypatch.setattr(kernel_build, "BUILT", path)
    return path


def test_without_a_compiler_python_is_used_and_it_says_so(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(name: str) -> None:
        return None

    monkeypatch.setattr(shutil, "which", find_nothing)
    assert kernel_build.ensure() == "python (no C compiler)"
    assert not built.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sysconfig.get_path": lambda name: "/nowhere"}, "no headers of Python"),
        ({"importlib.util.find_spec": lambda name: None}, "no Cython"),
        ({}, "the C compiler failed"),
    ],
)
def test_whatever_is_missing_is_named(
    built: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler here")
    for name, value in change.items():
        monkeypatch.setattr(name, value)
    monkeypatch.setenv("CC", f"{sys.executable} -c 'raise SystemExit(1)'")
    built.write_bytes(b"of a former version")
    os.utime(built, (0, 0))
    assert kernel_build.ensure().startswith(f"python ({reason}")
    assert not built.exists()


def test_what_is_current_is_left_alone(built: Path) -> None:
    built.write_bytes(b"new")
    assert kernel_build.ensure() == "compiled"
    assert built.read_bytes() == b"new"


def test_it_says_nothing_where_nothing_has_changed() -> None:
    if not kernel_build.is_current():
        pytest.skip("the kernel is not compiled here")
    command = [sys.executable, str(kernel_build.ROOT / "kernel_build.py")]
    assert subprocess.run([*command, "--changed"], check=True, capture_output=True).stdout == b""
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"kernel: compiled\n"
