"""Names: one word for one thing over the whole project."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY

PACKAGES = ("tickplant", "ingest", "workers", "api", "maintenance", "db", "sandbox", "bench")

RETIRED = frozenset(
    [
        "AlertWishes",
        "Apart",
        "Asked",
        "Beat",
        "CandleMaker",
        "Closes",
        "Door",
        "Doubts",
        "HeldOrder",
        "IdOrder",
        "Joiner",
        "Lack",
        "Look",
        "MadeTrade",
        "Mishaps",
        "Moment",
        "Moments",
        "News",
        "OfSymbol",
        "OfUser",
        "OutletProtocol",
        "PAST",
        "Pace",
        "PartitionAlerts",
        "Past",
        "Pulse",
        "Reach",
        "Remembered",
        "RestOfAlerts",
        "RestOfGaps",
        "RestOfNames",
        "RestOfNumbered",
        "RestOfSignals",
        "RestOfTimes",
        "Seen",
        "Stretch",
        "SymbolReach",
        "TroubledLine",
        "Troubles",
        "Turn",
        "Usual",
        "WebhookDoor",
        "WebsocketOutlet",
        "_Opening",
        "_Through",
        "is_passing",
        "it",
        "keep_dead_letter",
        "kept_sigint",
        "parse_moment",
        "tell_database",
        "tell_removed",
        "unless_stopped",
        "until_answered",
        "words_of",
    ]
)
"""Names that stood for two things, or for nothing that a reader would search for."""

WIRE_SHAPES = re.compile(
    r"_(Envelope|Event|Frame|Kline|Message|HistoryTrade|Payload|RefusalError|Request|Rows?|Trade)"
)
"""Private classes that each venue's module may have: what that venue sends, or how it refuses a request."""

CLIENTS_SHAPES = {("tickplant/client/messages.py", name) for name in ("Candle", "Trade")}
"""What users of the client call as everybody does, though the plant has its own."""


def modules() -> Iterator[Path]:
    generated = REPOSITORY / "tickplant" / "api"
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            if not path.is_relative_to(generated):
                yield path


def test_each_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not WIRE_SHAPES.fullmatch(node.name):
                place = path.relative_to(REPOSITORY).as_posix()
                if (place, node.name) not in CLIENTS_SHAPES:
                    places[node.name].append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_retired_name_is_used() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in modules()
        for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
        if name in RETIRED
    ]
    assert found == []


def identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
