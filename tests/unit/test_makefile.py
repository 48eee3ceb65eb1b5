"""The Makefile: its recipes expand to what they say."""

import re
from pathlib import Path

MAKEFILE = Path(__file__).parents[2] / "Makefile"
BUILT_IN = {"or", "shell"}


def test_every_variable_that_is_used_is_defined() -> None:
    text = MAKEFILE.read_text(encoding="utf-8")
    defined = set(re.findall(r"^(\w+) *[:?]?=", text, re.MULTILINE))
    assert set(re.findall(r"(?<!\$)\$\((\w+)", text)) <= defined | BUILT_IN
