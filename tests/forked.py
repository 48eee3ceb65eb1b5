"""Commands of tickplant in forked processes, which start at once, for tests that run very many."""

import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, cast

from tickplant.cli import COMMANDS, main

_LIBRARIES = ("asyncpg", "redis.asyncio", "httpx", "uvicorn", "litestar", "websockets", "dotenv")
_SERVICES = ("api.service", "ingest.service", "workers.service", "workers.mirror.service", "db.migrate")
_context = get_context("forkserver")
_context.set_forkserver_preload(
    ["__main__", *(f"tickplant.cli.{name}" for name in COMMANDS), *_LIBRARIES, *_SERVICES]
)


class Ended(NamedTuple):
    """How a command ended."""

    code: int | None
    """None: it had to be killed."""
    output: str


def run(
    *words: str,
    environment: Mapping[str, str],
    folder: Path,
    limit_s: float = 20,
    until: Callable[[str], bool] = lambda _: False,
) -> Ended:
    """Run `tickplant WORDS` to its end.

    Args:
        words: the command line.
        environment: the variables TICKPLANT_*.
        folder: the working directory.
        limit_s: the command is killed if it takes longer.
        until: says of the output so far whether to stop the command by SIGTERM.
    """
    output = folder / "output"
    process = _context.Process(target=_run, args=(words, dict(environment), folder, output))
    process.start()
    waited_s, stopping = 0.0, False
    while process.is_alive() and waited_s < limit_s:
        process.join(0.05)
        waited_s += 0.05
        if not stopping and output.exists() and until(output.read_text(errors="replace")):
            process.terminate()
            stopping = True
    code = None if process.is_alive() else process.exitcode
    process.kill()
    process.join()
    return Ended(code, output.read_text(errors="replace") if output.exists() else "")


def _run(words: tuple[str, ...], environment: dict[str, str], folder: Path, output: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TICKPLANT_")]:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    sys.exit(main(cast(list[str], list(words))))
