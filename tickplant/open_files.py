"""The limit of files and sockets that a process may open."""

import logging
import resource
from contextlib import suppress
from typing import Final

from tickplant.errors import FatalError

_log = logging.getLogger(__name__)

_WANTED: Final = 65_536
_FEWEST: Final = 32
"""A limit below which no process can start."""
_FEW: Final = 256
"""A limit below which a process soon refuses connections."""
_REMEDY: Final = "raise the limit (ulimit -n, or LimitNOFILE of systemd)"


def allow_open_files(wanted: int = _WANTED) -> int:
    """Raise the limit of open files of this process and its children, as far as the system allows.

    The usual limit, 1,024, is meant for programs that use `select`, which tickplant does not.

    Returns:
        The limit; a lower one than wanted is the most that the system allows.

    Raises:
        FatalError: it is too low to start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has another limit, lower than the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    limit = wanted if soft == resource.RLIM_INFINITY else soft
    if limit < _FEWEST:
        raise FatalError(
            f"a process may open only {limit} files and sockets here, too few to start: {_REMEDY}"
        )
    return limit


def prepare_open_files() -> None:
    """Raise the limit for a service; warn if it stays low.

    Raises:
        FatalError: it is too low to start.
    """
    limit = allow_open_files()
    if limit < _FEW:
        _log.warning(
            "this process may open only %d files and sockets: further connections will fail or be closed; %s",
            limit,
            _REMEDY,
        )
