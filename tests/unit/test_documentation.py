"""All settings, metrics, commands, options, routes, codes, files, tests and links in documents exist."""

import re
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from litestar import Router
from litestar.handlers import BaseRouteHandler
from prometheus_client import Counter, Gauge, Histogram

from api import app
from api.live.protocol import CloseCode, Code, Op
from db import grants as roles
from tickplant import metrics
from tickplant.cli import COMMANDS
from tickplant.settings import Settings, variable

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = (
    ".ci",
    "api",
    "bench",
    "clients",
    "db",
    "docker",
    "docs",
    "grafana",
    "ingest",
    "maintenance",
    "prometheus",
    "sandbox",
    "schema",
    "tests",
    "tickplant",
    "workers",
)
SUFFIXES = "cfg|json|md|proto|py|sql|toml|yaml|yml"
SOURCES = sorted(
    path
    for pattern in (*(f"{folder}/**/*" for folder in FOLDERS), "*")
    for path in ROOT.glob(pattern)
    if path.is_file()
    and re.fullmatch(rf"Makefile|Dockerfile|.*\.(example|{SUFFIXES})", path.name)
    and not path.is_relative_to(ROOT / "tickplant" / "api")  # generated
)
FOLDER = "|".join(map(re.escape, FOLDERS))
USERS_FILES = {"my_strategies.py", "compose.override.yaml"}
"""Files that documents tell users to write."""
TESTS_OWN = {"TICKPLANT_MARKETDATA"} | {
    f"TICKPLANT_TEST_{name}" for name in ("EXAMPLES", "KAFKA", "PAGE_CANDLES", "SEED", "POSTGRES", "REDIS")
}
"""Variables of the tests, which tickplant doesn't know."""

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
)


def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def code_in(text: str) -> list[str]:
    """Return the lines of fenced blocks, and elsewhere the text in backticks."""
    prose, *rest = re.split(r"^```.*$", text, flags=re.MULTILINE)
    found: list[str] = []
    for number, part in enumerate(rest):
        if number % 2 == 0:
            found += part.splitlines()
        else:
            prose += part
    return found + re.findall(r"`([^`\n]+)`", prose)


def named(document: Path, pattern: str) -> set[str]:
    return {match for code in code_in(read(document)) for match in re.findall(pattern, code)}


@each_document
def test_settings_exist(document: Path) -> None:
    fields = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    secrets = {
        f"{name}_FILE" for name in fields if name.endswith(("_KEY", "_PASSWORD", "_SECRET", "_NOTIFY"))
    }
    words = set(re.findall(r"TICKPLANT_[A-Z][A-Z0-9_]*", read(document)))
    assert words - fields - secrets - TESTS_OWN == set()


def exposed_metrics() -> Iterator[str]:
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            yield f"{family.name}_total" if isinstance(metric, Counter) else family.name


@each_document
def test_metrics_and_roles_exist_under_the_names_that_are_seen(document: Path) -> None:
    known = {*exposed_metrics(), roles.WRITER, roles.READER, roles.SERVICE, roles.GRAFANA}
    assert named(document, r"\btickplant_[a-z0-9_]*[a-z0-9]\b") - known == set()


def options_of(command: str) -> set[str]:
    parser = ArgumentParser()
    import_module(f"tickplant.cli.{command}").add_arguments(parser)
    common = {"--help"} if command in ("record", "sandbox") else {"--help", "--data"}
    return common | set(re.findall(r"--[a-z][a-z-]*", "".join(help_texts(parser))))


def help_texts(parser: ArgumentParser) -> Iterator[str]:
    """The help of a command and of the commands in it."""
    yield parser.format_help()
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                yield from help_texts(inner)


@each_document
def test_commands_and_their_options_exist(document: Path) -> None:
    for code in code_in(read(document)):
        for command, rest in re.findall(r"\btickplant ([a-z]+)([^|#]*)", code):
            assert command in COMMANDS, code
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)) <= options_of(command), code


def test_the_readme_names_every_command() -> None:
    assert named(ROOT / "README.md", r"\btickplant ([a-z]+)") >= COMMANDS.keys()


@each_document
def test_targets_of_make_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named(document, r"\bmake ([a-z]+)") - targets == set()


def routes() -> Iterator[re.Pattern[str]]:
    for handler in vars(app).values():
        if isinstance(handler, BaseRouteHandler):
            for prefix in ("", app.PREFIX):
                for path in handler.paths:
                    yield re.compile(prefix + re.sub(r"\{[^}]+\}", "[^/]+", path))
        elif isinstance(handler, Router):
            yield re.compile(f"{handler.path}(?:/.*)?")  # a base address, which other programs complete
    yield re.compile(app.DOCUMENTATION)


@each_document
def test_addresses_of_the_api_exist(document: Path) -> None:
    paths = named(document, r"(?:127\.0\.0\.1:8080|^)(/[a-z][\w/:{}-]*)")
    known = list(routes())
    assert {path for path in paths if not any(route.fullmatch(path) for route in known)} == set()


def test_every_word_of_the_websocket_is_explained() -> None:
    document = ROOT / "docs" / "websocket.md"
    text = read(document)
    rows = set(re.findall(r"^\| `?([\w]+)`? \|", text, re.MULTILINE))
    assert rows >= set(get_args(Code)) | {str(int(code)) for code in CloseCode}
    assert named(document, r'"op":"(\w+)"') == set(get_args(Op))
    assert named(document, r'"code":"(\w+)"') <= set(get_args(Code))


def exists(path: str) -> bool:
    name, _, test = path.partition("::")
    files = list(ROOT.glob(name.rstrip("/.")))
    return bool(files) and (not test or defined(test, files))


def defined(test: str, files: Iterable[Path]) -> bool:
    return any(f"def {test}(" in read(path) for path in files if path.is_file())


@each_document
def test_files_exist(document: Path) -> None:
    paths = named(document, rf"(?<![\w/.:<-])((?:{FOLDER})/(?:[\w./*:-]*[\w*])?)(?![\w<])")
    assert {path for path in paths if not exists(path)} == set()


@each_document
def test_files_named_without_their_folder_exist(document: Path) -> None:
    names = named(document, rf"^[\w.-]+\.(?:{SUFFIXES}|lock|example)$") - USERS_FILES
    locks = (*ROOT.glob("*.lock"), *ROOT.glob("docker/*.lock"))
    assert names - {path.name for path in (*SOURCES, *locks)} == set()


def test_files_that_sources_name_exist() -> None:
    path = re.compile(rf"(?<![\w/.:<$-])((?:{FOLDER})/[\w./-]*\w\.(?:{SUFFIXES}))\b")
    missing = {
        f"{source.relative_to(ROOT)}: {name}"
        for source in SOURCES
        for name in path.findall(read(source))
        if not (ROOT / name).exists()
    }
    assert missing == set()


@each_document
def test_functions_exist(document: Path) -> None:
    names = named(document, r"^(\w+)\(\)$")
    definition = re.compile(r"\b(?:def|function|procedure) (\w+)\(")
    code = (source for source in SOURCES if source.suffix in (".py", ".sql"))
    assert (
        names == set() or names - {name for path in code for name in definition.findall(read(path))} == set()
    )


@each_document
def test_tests_exist(document: Path) -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    tests = named(document, r"^test_\w+$")
    assert {test for test in tests if not defined(test, files)} == set()


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub derives from the headings."""
    headings = re.findall(r"^#+ (.+)$", read(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", read(document)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
