"""Builds the compiled kernel, `tickplant.kernel.compiled`, where that is possible.

`python kernel_build.py` builds it beside its source, unless it is current, and prints which kernel is used;
with `--changed` it prints nothing if the kernel was current. The hook below builds it for a wheel. Neither
fails where it can't be built: pure Python is used then. It takes Cython, a C compiler with integers of 128
bits, and the headers of Python.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent
SOURCE: Final = ROOT / "tickplant" / "kernel"
NAME: Final = "compiled"
BUILT: Final = SOURCE / f"{NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"
"""The extension of this version of Python."""


class NotBuiltError(Exception):
    """The kernel can't be built here; the message says why, in some words."""


def build(target: Path, flags: Sequence[str] = ("-O3",)) -> None:
    """Build the extension.

    Args:
        target: the file to write; it is replaced at once, when all went well.
        flags: for the C compiler, besides those that are needed.

    Raises:
        NotBuiltError: something is missing, or a compiler fails.
    """
    compiler = _find_compiler()
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        raise NotBuiltError("no headers of Python")
    if importlib.util.find_spec("Cython") is None:
        raise NotBuiltError("no Cython")
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kernel-") as folder:
        code, made = Path(folder, f"{NAME}.c"), Path(folder, target.name)
        source = str(SOURCE / f"{NAME}.pyx")
        _run("Cython", [sys.executable, "-m", "cython", "-3", source, "-o", str(code)])
        options = ["-fPIC", "-fwrapv", f"-I{include}", f"-I{SOURCE}", *shared, *flags]
        _run("the C compiler", [*compiler, *options, str(code), "-o", str(made)])
        made.replace(target)


def _find_compiler() -> list[str]:
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    raise NotBuiltError("no C compiler")


def _run(what: str, command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - none of it is from outside
        command, check=False, capture_output=True, text=True
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or [
            f"{done.returncode}"
        ]
        raise NotBuiltError(f"{what} failed: {lines[0][:200]}")


def is_current() -> bool:
    """Return whether the extension beside its source is as new as that."""
    if not BUILT.exists():
        return False
    newest = max(
        path.stat().st_mtime
        for path in (Path(__file__), *SOURCE.glob("*.pyx"), *SOURCE.glob("*.pxi"), *SOURCE.glob("*.h"))
    )
    return BUILT.stat().st_mtime >= newest


def ensure() -> str:
    """Build the kernel unless it is current; return which is used: `compiled`, or `python` and the reason."""
    try:
        if not is_current():
            BUILT.unlink(missing_ok=True)  # one of another version must not be used
            build(BUILT)
    except (NotBuiltError, OSError) as error:
        return f"python ({error})"
    return "compiled"


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:
    pass
else:

    class KernelBuildHook(BuildHookInterface[Any]):
        """Puts the compiled kernel, and the code that schema_build.py generates, into a wheel.

        `TICKPLANT_BUILD_KERNEL=required` fails where the kernel can't be built.
        """

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build, before the wheel is put together; an editable install has it built beside its source."""
            _run("schema_build.py", [sys.executable, str(ROOT / "schema_build.py")])
            if version == "editable":
                return
            build_data["artifacts"].append("/tickplant/api/")
            used = ensure()
            self.app.display_info(f"kernel: {used}")
            if used == "compiled":
                build_data["artifacts"].append(f"/{BUILT.relative_to(ROOT).as_posix()}")
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
            elif os.environ.get("TICKPLANT_BUILD_KERNEL") == "required":
                raise NotBuiltError(f"kernel: {used}")


if __name__ == "__main__":
    current = is_current()
    if not current:
        sys.stdout.write("kernel: compiling\n")
        sys.stdout.flush()
    if not current or sys.argv[1:] != ["--changed"]:
        sys.stdout.write(f"kernel: {ensure()}\n")
