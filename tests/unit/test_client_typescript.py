"""The TypeScript client: its own tests, run by Node."""

import re
import subprocess

from typescript_client import compiled


def test_the_package_compiles_and_passes_its_tests() -> None:
    folder = compiled()
    files = sorted(map(str, (folder / "test").glob("*.test.js")))
    assert files
    found = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stdout
    assert int(re.findall(r"^# pass (\d+)$", found.stdout, re.MULTILINE)[0]) >= 6
