"""Slots of Redis Cluster."""

import pytest

from tickplant.redis_exchange import Script
from tickplant.redis_slots import keys_of, slot_of


@pytest.mark.parametrize(
    ("key", "same_as"),
    [
        ("trades:{7}", "7"),
        ("{user1000}.following", "user1000"),
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
        ("rate:{ban:binance}:requests", "ban:binance"),
    ],
)
def test_what_is_in_the_first_braces_decides(key: str, same_as: str) -> None:
    """The examples of the specification."""
    assert slot_of(key) == slot_of(key.encode()) == slot_of(same_as)


@pytest.mark.parametrize(("key", "slot"), [("123456789", 0x31C3), ("foo", 12182), ("", 0)])
def test_slots_are_those_of_the_specification(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("GET", "a"), ["a"]),
        (("TIME",), []),
        (("SCRIPT", "LOAD", "x"), []),
        (("EVAL", "return 1", 2, "a", "b", "c"), ["a", "b"]),
        ((Script("return 1"), 2, "a", "b", "c"), ["a", "b"]),
        (("XREAD", "COUNT", 1, "BLOCK", 5, "STREAMS", "a", "b", "0-0", "0-0"), ["a", "b"]),
        (("XREADGROUP", "GROUP", "g", "c", "NOACK", "STREAMS", "a", ">"), ["a"]),
        (("XINFO", "GROUPS", "a"), ["a"]),
        (("DEL", "a", "b"), ["a", "b"]),
        (("XADD", "a", "*", "f", "v"), ["a"]),
    ],
)
def test_the_keys_of_a_command(command: tuple[object, ...], keys: list[str]) -> None:
    assert list(keys_of(command)) == keys
