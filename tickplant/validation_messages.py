"""Translates msgspec's validation messages into plain English, for requests and settings. Pure."""

import re
from typing import Final

from tickplant.literals import INVALID_VALUE

_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}
_BOUNDS: Final = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}

_WRONG_KIND: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_OUT_OF_BOUNDS: Final = re.compile(r"Expected `\w+` (>=|>|<=|<) (\S+)")
_WRONG_LENGTH: Final = re.compile(r"Expected `\w+` of length (>=|<=) (\d+)")
_NO_MULTIPLE: Final = re.compile(r"Expected `\w+` that's a multiple of (\d+)")
_MISSING: Final = re.compile(r"Object missing required field `([^`]+)`")
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")


def place_of(message: str) -> str:
    """Return the path of the field that a message is about; empty for the whole."""
    missing = _MISSING.search(message)
    if missing:
        return missing[1]
    match = _PLACE.search(message)
    return match[1] if match else ""


def sentence_of(message: str) -> str:
    """Return a message without the path, in plain words; an unknown one as it is."""
    text = _PLACE.sub("", message)
    if match := _WRONG_KIND.fullmatch(text):
        return f"must be {_kind(match[1])}, not {_kind(match[2])}"
    if match := _OUT_OF_BOUNDS.fullmatch(text):
        return f"must be {_BOUNDS[match[1]]} {match[2].removesuffix('.0')}"
    if match := _WRONG_LENGTH.fullmatch(text):
        return f"must be {_BOUNDS[match[1]]} {match[2]} characters long"
    if match := _NO_MULTIPLE.fullmatch(text):
        return f"must be a multiple of {match[1]}"
    if text == "Number out of range":
        return "is out of range"
    if "matching regex" in text:
        return "has characters that are not allowed, or not the format that /docs describes"
    if _MISSING.fullmatch(text):
        return "is required"
    if text.startswith(INVALID_VALUE):
        return f"is not one of the allowed values: {text.removeprefix(INVALID_VALUE).strip()}"
    return text


def _kind(names: str) -> str:
    return " or ".join(_KINDS.get(name.strip(), name.strip()) for name in names.split("|"))
