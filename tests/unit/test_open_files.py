"""The limit of open files is raised as far as the system allows."""

import resource
import subprocess
import sys

import pytest

from tickplant.errors import FatalError
from tickplant.open_files import allow_open_files

PROGRAM = """
import logging, resource, sys
from tickplant.open_files import prepare_open_files
logging.basicConfig(stream=sys.stdout, format="%(message)s")
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
prepare_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def output_with_limits(soft: int, hard: int) -> list[str]:
    """Return the lines that a process with these limits prints: warnings, and its limit in the end."""
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(("soft", "hard"), [(64, 2_000), (2_000, 2_000)])
def test_the_limit_is_raised_to_what_the_system_allows(soft: int, hard: int) -> None:
    assert output_with_limits(soft, hard) == ["2000"]


def test_a_low_limit_that_can_not_be_raised_is_logged_with_its_remedy() -> None:
    warning, limit = output_with_limits(64, 64)
    assert limit == "64"
    assert "may open only 64 files and sockets" in warning
    assert "ulimit -n" in warning


def test_a_limit_too_low_to_start_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (12, 12))
    with pytest.raises(FatalError, match=r"only 12 files and sockets .*ulimit -n"):
        allow_open_files()
