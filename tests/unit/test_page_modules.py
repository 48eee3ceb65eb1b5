"""The page's modules: their logic, tested by Node, and that all files are packaged."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

REPOSITORY: Final = Path(__file__).resolve().parents[2]
PAGE: Final = REPOSITORY / "api" / "page"
NODE: Final = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="no Node on the PATH: the page's modules are not tested")
def test_the_modules_pass_their_tests() -> None:
    files = sorted(map(str, (REPOSITORY / "tests" / "page").glob("*.test.js")))
    assert files
    found = subprocess.run([str(NODE), "--test", *files], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert int(re.findall(r"^# pass (\d+)$", found.stdout, re.MULTILINE)[0]) >= len(files)


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_every_file_of_the_page_is_packaged(builder: type[WheelBuilder | SdistBuilder]) -> None:
    packaged = {file.relative_path for file in builder(str(REPOSITORY)).recurse_included_files()}
    wanted = {
        str(path.relative_to(REPOSITORY))
        for path in PAGE.iterdir()
        if path.is_file() and path.suffix != ".pyc"
    }
    assert len(wanted) > 30
    assert wanted <= packaged


def test_modules_import_only_files_that_exist() -> None:
    for path in PAGE.glob("*.js"):
        for name in re.findall(r'(?:from|import\() ?"\./([^"]+)"', path.read_text(encoding="utf-8")):
            assert (PAGE / name).is_file(), f"{path.name} imports {name}"


def test_all_requests_go_through_one_module() -> None:
    for path in PAGE.glob("*.js"):
        if path.name != "transport.js":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bfetch\(|new WebSocket|XMLHttpRequest|EventSource", text), path.name


def test_modules_are_short() -> None:
    lengths = {path.name: path.read_text(encoding="utf-8").count("\n") for path in PAGE.glob("*.js")}
    assert {name: length for name, length in lengths.items() if length > 250} == {}
