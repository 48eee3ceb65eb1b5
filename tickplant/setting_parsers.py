"""Parsers of settings: each turns the text of one variable into a value, or raises ValueError. Pure."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from ipaddress import ip_address, ip_network
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tickplant.bot import BPS, parse_number
from tickplant.hosts import HOST_PATTERN, parse_pattern
from tickplant.intervals import INTERVALS
from tickplant.literals import allowed_values
from tickplant.market import SymbolId
from tickplant.redis_address import parse_redis_addresses
from tickplant.validation_messages import sentence_of
from tickplant.webhooks import ALLOWED, parse_allowed

ARCHIVE_SCHEMES: Final = ("file", "s3", "gs")
DATABASE_SCHEMES: Final = ("postgresql://", "postgres://")

_EMPTY: Final = "none"
"""The text of an empty list: an empty variable means the default."""
_SHOWN_CHARS: Final = 40
"""The most characters of a wrong item that an error shows."""


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
    if words := allowed_values(kind):
        return one_of(words)(text)
    value = _convert(text, kind)
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("must be a finite number")
    return value


def each(parse: Callable[[str], Any], *, expected: str, may_be_empty: bool = False) -> Parser:
    """Return the parser of a list whose error names every wrong item.

    Args:
        parse: parses one item, or raises ValueError.
        expected: describes the right items, for the error.
        may_be_empty: whether `none` stands for an empty list.
    """

    def parse_items(text: str) -> tuple[Any, ...]:
        items = split_items(text) if may_be_empty else _words(text)
        parsed: dict[Any, None] = {}
        wrong: list[str] = []
        for item in items:
            try:
                parsed[parse(item)] = None
            except ValueError:
                wrong.append(item)
        if wrong:
            raise _unexpected(wrong, expected)
        return tuple(parsed)

    return Parser(parse_items)


def split_items(text: str) -> tuple[str, ...]:
    """Return the items of a list, separated by spaces or commas, each once; none for `none`."""
    items = _words(text)
    return () if items == (_EMPTY,) else items


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    """Return the parser of an item that must be one of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise _unexpected([text], ", ".join(words))
        return text

    return parse


def list_of(words: tuple[str, ...]) -> Parser:
    """Return the parser of a list of such words, which may be empty."""
    return each(one_of(words), expected=", ".join(words), may_be_empty=True)


def list_of_integers(kind: Any, *, least: int, most: int) -> Parser:
    """Return the parser of a list of integers, which may be empty.

    Args:
        kind: the type of one, with its bounds.
        least: the lower bound.
        most: the upper bound.
    """
    expected = f"whole numbers from {least} to {most}"
    return each(lambda item: _convert(item, kind), expected=expected, may_be_empty=True)


def parse_archive(text: str) -> str:
    """Return the address of an archive: a folder, or one with a scheme.

    Raises:
        ValueError: it has another scheme.
    """
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in ARCHIVE_SCHEMES:
        raise ValueError(
            f"must be a folder, or start with {', '.join(f'{name}://' for name in ARCHIVE_SCHEMES)}"
        )
    return text


def address(*schemes: str) -> Parser:
    """Return the parser of a server's address that starts with one of the schemes."""

    def parse(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(f"must be an address that starts with {' or '.join(schemes)}")
        try:
            _ = "," in text or urlsplit(text).port  # PostgreSQL's may name several hosts
        except ValueError:
            raise ValueError(
                "must have a port up to 65535 after the host's colon; write / and @ in a password as"
                " %2F and %40"
            ) from None
        if urlsplit(text).scheme in _SCHEMES_WITH_HOST and not urlsplit(text).hostname:
            raise ValueError(f"must have a host after {urlsplit(text).scheme}://")
        return text.rstrip("/")

    return Parser(parse)


_SCHEMES_WITH_HOST: Final = ("http", "https", "ws", "wss")


def parse_redis_url(text: str) -> str:
    """Return an address of Redis, if it is one."""
    parse_redis_addresses(text)
    return text.rstrip("/")


SYMBOLS: Final = each(SymbolId.parse, expected="venue:SYMBOL, such as binance:BTCUSDT")
HOST_PATTERNS: Final = each(parse_pattern, expected=HOST_PATTERN)
"""Of the hosts that the API answers to."""
INTERVAL_NAMES: Final = each(one_of(tuple(INTERVALS)), expected=", ".join(INTERVALS))


def parse_intervals(text: str) -> tuple[str, ...]:
    """Parse a list of candle intervals; return them from short to long."""
    return tuple(sorted(INTERVAL_NAMES.parse(text), key=INTERVALS.__getitem__))


def parse_webhook_rule(text: str) -> str:
    """Return a host, address or network that webhooks may be sent to, if it is one."""
    parse_allowed(text)
    return text


def parse_origin(text: str) -> str:
    """Return an origin of web pages (RFC 6454), if it is one; `*` stands for any."""
    parts = urlsplit(text)
    if text not in ("*", "null") and (
        not parts.scheme or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment
    ):
        raise ValueError("not an origin")
    return text


ORIGINS: Final = each(
    parse_origin,
    expected="https://example.org, http://localhost:5173 or the like, without a path, or * for any",
    may_be_empty=True,
)


def parse_network(text: str) -> str:
    """Return an address or a network, if it is one."""
    return str(ip_network(text)) if "/" in text else str(ip_address(text))


PROXIES: Final = each(
    parse_network, expected="10.1.2.3, 10.1.2.0/24, fd00::/8 or the like", may_be_empty=True
)


def parse_broker(text: str) -> str:
    """Return the address of a Kafka broker as librdkafka takes it: `host`, `host:port`, `scheme://host:port`."""
    parts = urlsplit(f"//{text.rpartition('://')[2]}")
    _ = parts.port  # a wrong one raises ValueError
    if not parts.hostname or parts.path or parts.query:
        raise ValueError("not an address")
    return text


_BROKERS: Final = each(parse_broker, expected="host:port, such as kafka:9092")
BROKERS: Final = Parser(lambda text: ",".join(_BROKERS.parse(text)))


WEBHOOK_RULES: Final = each(parse_webhook_rule, expected=ALLOWED)


def parse_path(text: str) -> Path:
    """Parse a path, in which `~` is the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # of a user that does not exist
        raise ValueError(
            f"{text!r} names the home folder of an unknown user; write the whole path"
        ) from error


def parse_basis_points(text: str) -> Decimal:
    """Parse a share of less than 1, in hundredths of a percent."""
    number = parse_number(text)
    if number >= BPS:
        raise ValueError(f"must be less than {BPS} hundredths of a percent")
    return number


def _convert(text: str, kind: Any) -> Any:
    """Convert a text to a type.

    Raises:
        ValueError: it can't be converted; the message is in plain English.
    """
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        # Every variable is text, so that it is text is no news.
        raise ValueError(sentence_of(str(error)).removesuffix(", not text")) from error


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a text, separated by spaces or commas, each once."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _unexpected(items: Sequence[str], expected: str) -> ValueError:
    """Return the error of items that a variable doesn't allow."""
    shown = ", ".join(repr(item[:_SHOWN_CHARS]) for item in items)
    return ValueError(f"{shown} {'is' if len(items) == 1 else 'are'} invalid; expected {expected}")
