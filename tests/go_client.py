"""Go programs for tests of gRPC: grpcurl, and a client of code that is generated from the schema.

Built into `.clients` by the first test that needs them, where Go is installed; their modules come from the
module proxy, and are pinned by `tests/clients/go/go.sum`.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from client_programs import ENVIRONMENT

ROOT: Final = Path(__file__).parents[1]
_SOURCE: Final = Path(__file__).parent / "clients" / "go"
_GO: Final = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
_PROTO: Final = "schema/tickplant/api/v1/market_data.proto"
_BUILD_S: Final = 900


def go_programs() -> Path:
    """Return the folder with `grpcurl` and `follow`; skip the test if they can't be built."""
    if _GO is None:
        pytest.skip("Go, which builds the clients, is not installed")
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the same test run
        return _build(_GO)


def _build(go: str) -> Path:
    folder = ENVIRONMENT / "go"
    source, programs = folder / "source", folder / "bin"
    shutil.copytree(_SOURCE, source, dirs_exist_ok=True)
    try:
        _run([go, "mod", "download"], source)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the modules of the Go clients can't be downloaded: {error.stderr.strip()[-300:]}")
    _run([go, "build", "-o", f"{programs}/", "tool"], source)
    mapping = (
        f"M{_PROTO.removeprefix('schema/')}=tickplant.example/follow/api,module=tickplant.example/follow"
    )
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'schema'}"]
    for name in ("go", "go-grpc"):
        command += [f"--plugin=protoc-gen-{name}={programs / f'protoc-gen-{name}'}"]
        command += [f"--{name}_out={source}", f"--{name}_opt={mapping}"]
    _run([*command, str(ROOT / _PROTO)], source)
    _run([go, "build", "-o", f"{programs}/", "."], source)
    return programs


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_BUILD_S)
