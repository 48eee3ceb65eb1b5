"""The TypeScript client, compiled for tests where Node and npm are installed."""

import asyncio
import fcntl
import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from client_programs import ENVIRONMENT, run_client

SOURCE: Final = Path(__file__).parent.parent / "clients" / "typescript"
_FILES: Final = ("package.json", "package-lock.json", "tsconfig.json", "src", "test")
_INSTALL_S: Final = 300


def compiled() -> Path:
    """Return a folder with the compiled package; skip the test if it can't be made."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no Node or npm on the PATH: the TypeScript client is not tested")
    files = sorted(
        path
        for name in _FILES
        for path in ((SOURCE / name).rglob("*") if (SOURCE / name).is_dir() else [SOURCE / name])
    )
    wanted = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    folder, installed = ENVIRONMENT / "typescript", ENVIRONMENT / "typescript-installed"
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "typescript-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the same test run
        if not (installed.exists() and installed.read_text() == wanted):
            _install(npm, folder)
            installed.write_text(wanted)
    return folder


def _install(npm: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in _FILES:
        copy = shutil.copytree if (SOURCE / name).is_dir() else shutil.copy
        copy(SOURCE / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_S
    )
    if done.returncode:
        pytest.skip(f"TypeScript is not installed: {done.stderr.strip()[-300:]}")
    done = subprocess.run([npm, "run", "build"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


async def run_typescript(script: str, *arguments: str) -> Any:
    """Run a script of `tests/clients` with the package, and return the JSON that it prints."""
    folder = await asyncio.to_thread(compiled)
    module = (folder / "dist" / "index.js").as_uri()
    path = Path(__file__).parent / "clients" / script
    node = shutil.which("node")
    assert node is not None
    return json.loads(
        await run_client(node, "--experimental-websocket", "--no-warnings", path, module, *arguments)
    )
