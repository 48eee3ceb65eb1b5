"""Errors of the file system in the data folder say how to fix them."""

import errno
import os
from pathlib import Path

import pytest

from tickplant.errors import FatalError
from tickplant.local.folder import explained_file_errors


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "mount it writable"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "correct its permissions"),
    ],
)
def test_an_error_of_the_file_system_names_its_remedy(number: int, remedy: str) -> None:
    with pytest.raises(FatalError, match=remedy), explained_file_errors(Path("/data")):
        raise OSError(number, os.strerror(number), "/data/redis/port")
