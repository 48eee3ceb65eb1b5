"""Generates Python code of the gRPC services from schema/tickplant/api into tickplant/api.

`python schema_build.py` generates it, unless it is current; the hook in kernel_build.py does so for a wheel.
It takes grpcio-tools; without it nothing is generated, and `tickplant grpc` says so.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent
SCHEMA: Final = ROOT / "schema"
SOURCES: Final = sorted((SCHEMA / "tickplant" / "api").rglob("*.proto"))
TARGET: Final = ROOT / "tickplant" / "api"
_SUFFIXES: Final = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


def made() -> list[Path]:
    """Return the files that are generated."""
    modules = [TARGET / path.relative_to(SCHEMA / "tickplant" / "api").with_suffix("") for path in SOURCES]
    files = [path.with_name(path.name + suffix) for path in modules for suffix in _SUFFIXES]
    return [TARGET / "__init__.py", TARGET / "v1" / "__init__.py", *files]


def is_current() -> bool:
    """Return whether everything is generated, and newer than the schema."""
    newest = max(path.stat().st_mtime for path in (Path(__file__), *SOURCES))
    return all(path.exists() and path.stat().st_mtime >= newest for path in made())


def build() -> None:
    """Generate the code; each file is replaced when all of them are written.

    Raises:
        CalledProcessError: protoc refuses the schema, and has said why.
    """
    with tempfile.TemporaryDirectory(dir=TARGET.parent, prefix=".api-") as name:
        folder = Path(name)
        options = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SCHEMA}", *options, *map(str, SOURCES)]
        subprocess.run(command, check=True)  # noqa: S603 - none of it is from outside
        for package in (folder / "tickplant" / "api", folder / "tickplant" / "api" / "v1"):
            (package / "__init__.py").write_text('"""Generated from schema/tickplant/api."""\n')
        for path in made():
            path.parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(ROOT)).replace(path)


def ensure() -> bool:
    """Generate the code unless it is current; return whether it is there."""
    if not is_current():
        if importlib.util.find_spec("grpc_tools") is None:
            return False
        build()
    return True


if __name__ == "__main__":
    ensure()
