"""Parsers of settings: each turns the text of one variable into a value, or raises ValueError. Pure."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tickplant.bot import BPS, parse_number
from tickplant.hosts import parse_pattern
from tickplant.intervals import INTERVALS
from tickplant.literals import words_of
from tickplant.market import SymbolId
from tickplant.webhooks import parse_allowed

REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://", "valkey://")
DATABASE_SCHEMES: Final = ("postgresql://", "postgres://")

_EMPTY: Final = "none"
"""What an empty list is written as: an empty variable means the default."""


class Parser(NamedTuple):
    """Stands in a field's annotation; a field without one is converted to its type."""

    parse: Callable[[str], Any]


def parse_setting(kind: Any, text: str) -> Any:
    """Parse the text of a variable.

    Args:
        kind: the field's annotation, as `msgspec.structs.fields` returns it.
        text: not empty.

    Raises:
        ValueError: the text is not a value of the field; the message doesn't name the variable.
    """
    for annotation in getattr(kind, "__metadata__", ()):
        if isinstance(annotation, Parser):
            return annotation.parse(text)
    _require_allowed([text], kind)
    value = msgspec.convert(text, kind, strict=False)
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("expected a finite number")
    return value


def split_items(text: str) -> list[str]:
    """Return the items of a list, separated by spaces or commas, each once; none for `none`."""
    items = list(dict.fromkeys(text.replace(",", " ").split()))
    return [] if items == [_EMPTY] else items


def tuple_of(kind: Any) -> Parser:
    """Return the parser of a list whose tuple is of a type that msgspec can convert to."""

    def parse(text: str) -> Any:
        items = split_items(text)
        _require_allowed(items, kind)
        return msgspec.convert(items, kind, strict=False)

    return Parser(parse)


def address(*schemes: str) -> Parser:
    """Return the parser of a server's address, which must begin with one of the schemes."""

    def parse(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(f"expected an address that begins with {' or '.join(schemes)}")
        try:
            _ = "," in text or urlsplit(text).port  # PostgreSQL's may name several hosts
        except ValueError:
            raise ValueError(
                "expected a number up to 65535 after the host's colon; / and @ in a password are written as"
                " %2F and %40"
            ) from None
        return text.rstrip("/")

    return Parser(parse)


def parse_symbols(text: str) -> tuple[SymbolId, ...]:
    """Parse a list of `venue:SYMBOL`; the error names every wrong one."""
    symbols: dict[SymbolId, None] = {}
    wrong: list[str] = []
    for item in text.replace(",", " ").split():
        try:
            symbols[SymbolId.parse(item)] = None
        except ValueError:
            wrong.append(repr(item))
    if wrong:
        verb, noun = ("is", "a symbol") if len(wrong) == 1 else ("are", "symbols")
        raise ValueError(
            f"{', '.join(wrong)} {verb} not {noun} of the form venue:SYMBOL, such as binance:BTCUSDT"
        )
    return tuple(symbols)


def parse_intervals(text: str) -> tuple[str, ...]:
    """Parse a list of intervals of candles; returned from short to long."""
    items = text.replace(",", " ").split()
    _require_among(items, tuple(INTERVALS))
    return tuple(interval for interval in INTERVALS if interval in items)


def parse_webhook_allow(text: str) -> tuple[str, ...]:
    """Parse hosts, addresses and networks that webhooks may be sent to."""
    items = text.replace(",", " ").split()
    for item in items:
        parse_allowed(item)
    return tuple(items)


def parse_host_patterns(text: str) -> tuple[str, ...]:
    """Parse host names that the API answers to."""
    return tuple(parse_pattern(item) for item in text.replace(",", " ").split())


def parse_path(text: str) -> Path:
    """Parse a path, in which `~` is the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # of a user that does not exist
        raise ValueError(f"{error}; write the whole path") from error


def parse_basis_points(text: str) -> Decimal:
    """Parse a share of less than 1, in hundredths of a percent."""
    number = parse_number(text)
    if number >= BPS:
        raise ValueError(f"expected less than {BPS} hundredths of a percent")
    return number


def _require_allowed(items: Iterable[str], kind: Any) -> None:
    """Raise ValueError if the type is an enumeration and an item is none of its words."""
    allowed = words_of(kind)
    if allowed:
        _require_among(items, allowed)


def _require_among(items: Iterable[str], allowed: tuple[str, ...]) -> None:
    unknown = [repr(item[:20]) for item in items if item not in allowed]
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        raise ValueError(f"{', '.join(unknown)} {verb} unknown; expected {', '.join(allowed)}")
