"""Runs the kernel's tests on a build with sanitizers of addresses and undefined behaviour.

`python tests/sanitized.py [ROUNDS]` builds it in a temporary folder, of which nothing stays. It exits with
3, and says why, where the compiler has no sanitizers.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FLAGS: Final = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-fno-wrapv",
)
MODULE: Final = "tickplant.kernel.compiled"


def load(path: str) -> None:
    """Import the extension from a file, in place of the installed one."""
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)


def run_tests(path: str, rounds: int) -> int:
    """Run fuzzer and property tests on the extension in a file."""
    load(path)
    import kernel_fuzz
    import pytest

    kernel_fuzz.run(1, rounds)
    tests = ["tests/unit/test_kernel.py", "tests/unit/test_json_template.py", "tests/contract/test_frames.py"]
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not environment and not choice", *tests]))


def find_runtime() -> str:
    """Return the sanitizer's library, which has to be loaded before Python's own; empty if there is none."""
    named = ["cc", "-print-file-name=libasan.so"]
    found = subprocess.run(named, check=False, capture_output=True, text=True).stdout.strip()
    return found if Path(found).is_absolute() else ""


def main(rounds: int) -> int:
    """Build and run; return the exit code."""
    sys.path.insert(0, str(ROOT))
    import kernel_build

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, kernel_build.BUILT.name)
        try:
            runtime = find_runtime()
            kernel_build.build(path, FLAGS)
        except (OSError, kernel_build.NotBuiltError) as error:
            sys.stdout.write(f"sanitizers: not run ({error})\n")
            return 3
        if not runtime:
            sys.stdout.write("sanitizers: not run (the compiler has none)\n")
            return 3
        env = {
            **os.environ,
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python itself keeps much until the end
            "PYTHONMALLOC": "malloc",  # so that each object has borders of its own
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        }
        command = [sys.executable, __file__, "--run", str(path), str(rounds)]
        return subprocess.run(command, check=False, env=env, cwd=ROOT).returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        sys.exit(run_tests(sys.argv[2], int(sys.argv[3])))
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 50))
