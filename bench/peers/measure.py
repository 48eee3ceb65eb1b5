"""Builds and runs the peers: an ordinary Go aggregator, and cryptofeed."""

import os
import shutil
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bench.children import run_program
from tickplant.errors import FatalError

_HERE: Final = Path(__file__).parent
_CACHE: Final = _HERE.parent.parent / ".bench"
"""What is built or installed stays for the next run; `make clean` removes it."""
_GO_FOLDERS: Final = ("/usr/local/go/bin", "/usr/lib/go/bin", "/opt/homebrew/bin")
"""Where Go is installed without being on the path."""


class PeerCost(Struct, frozen=True):
    """What a peer costs, as it reports it."""

    trades: int
    candles: int
    cpu_us: float
    """CPU time a trade, of all its threads, at best of three."""
    version: str


class PeerError(Exception):
    """A peer can't be measured here; the message is the reason."""


async def measure_go(frames: Path, *, build: bool) -> PeerCost:
    """Measure the Go aggregator.

    Args:
        frames: a file of frames.
        build: whether to build it if that has not been done.

    Raises:
        PeerError: it can't be built.
    """
    source = _HERE / "go"
    program = _CACHE / f"aggregator-{_digest(source / 'main.go', source / 'go.mod')}"
    if not program.exists():
        if not build:
            raise PeerError("not built yet, and --quick builds nothing")
        await _build_go(source, program)
    return await _run(program, frames)


async def _build_go(source: Path, program: Path) -> None:
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), *_GO_FOLDERS]))
    if go is None:
        raise PeerError("Go is missing (https://go.dev/dl)")
    _CACHE.mkdir(exist_ok=True)
    environment = {"HOME": str(_CACHE), **os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    try:
        await run_program([go, "build", "-o", program, "."], cwd=source, environment=environment)
    except FatalError as error:
        raise PeerError(f"it can't be built: {error}") from error


async def measure_cryptofeed(frames: Path, *, install: bool) -> PeerCost:
    """Measure cryptofeed's Binance feed with a callback that folds floats into candles.

    Args:
        frames: a file of frames.
        install: whether to install it if that has not been done.

    Raises:
        PeerError: it can't be installed, or does not run.
    """
    requirements, script = _HERE / "cryptofeed" / "requirements.txt", _HERE / "cryptofeed" / "feed.py"
    environment = _CACHE / f"cryptofeed-{_digest(requirements)}-{sys.version_info[0]}.{sys.version_info[1]}"
    installed = environment / "installed"
    if not installed.exists():
        if not install:
            raise PeerError("not installed; --peers installs it, into an environment of its own")
        await _install(environment, requirements)
        installed.touch()
    return await _run(environment / "bin" / "python", script, frames)


async def _install(environment: Path, requirements: Path) -> None:
    _CACHE.mkdir(exist_ok=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    try:
        await run_program([sys.executable, "-m", "venv", "--clear", environment])
        await run_program([environment / "bin" / "python", *pip])
    except FatalError as error:
        raise PeerError(f"it can't be installed: {error}") from error


async def _run(program: Path, *arguments: Path) -> PeerCost:
    try:
        output = await run_program([program, *arguments], environment=_plain_environment())
        return msgspec.json.decode(output, type=PeerCost)
    except (FatalError, msgspec.DecodeError) as error:
        raise PeerError(f"it does not run: {error}") from error


def _plain_environment() -> Mapping[str, str]:
    """Return this process's variables without those that would lead a peer's Python to our packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _digest(*paths: Path) -> str:
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
