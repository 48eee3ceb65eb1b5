"""Numbers from JSON to plain text without a float, and times to microseconds."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.venues.base import Secret
from ingest.venues.parsing import decode_object, microseconds, plain_decimal
from tickplant.errors import PoisonError
from tickplant.market import is_decimal

_decode = msgspec.json.Decoder(float_hook=str).decode


@st.composite
def json_numbers(draw: st.DrawFn) -> str:
    """Draw the text of a JSON number of any form, not negative."""
    whole = str(draw(st.integers(0, 10**30)))
    fraction = draw(st.from_regex(r"(\.[0-9]{1,20})?", fullmatch=True))
    exponent = draw(st.from_regex(r"([eE][+-]?[0-9]{1,12})?", fullmatch=True))
    return whole + fraction + exponent


@given(json_numbers())
@example("1e-7")
@example("0.12345678901234567")
@example("123456789012345678.9")
@example("1E+5")
@example("0e999999999999")
@example("1e999999999999")
@example("40.0")
def test_a_number_keeps_its_value_to_the_last_digit_or_is_refused(text: str) -> None:
    number = _decode(text)
    assert type(number) is not float
    exact = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    try:
        plain = plain_decimal(number, "price")
    except PoisonError:
        assert "e" in text.lower() or len(text) > 40
        assert not exact or abs(exact.adjusted()) > 20 or len(text) > 40
        return
    assert is_decimal(plain)
    assert Decimal(plain) == exact
    assert plain == text or "e" in text.lower()  # the venue's own text wherever it is plain


@pytest.mark.parametrize("number", [-1, "-1.5", True, None, [], {}, 1.5, "", "1e", "e5", "0x10", "1e-39"])
def test_what_is_no_plain_number_is_refused(number: object) -> None:
    with pytest.raises(PoisonError, match="size is not a plain decimal"):
        plain_decimal(number, "size")


def test_times_are_exact_in_any_zone() -> None:
    moment = datetime(2026, 7, 7, 22, 58, 16, 156605, tzinfo=UTC)
    assert microseconds(moment.isoformat()) == 1783465096156605
    assert microseconds(moment.astimezone(timezone(timedelta(hours=-5))).isoformat()) == 1783465096156605


@pytest.mark.parametrize("year", [1, 1969, 2100, 9999])
def test_times_at_which_no_trade_happened_are_refused(year: int) -> None:
    with pytest.raises(PoisonError, match="time out of range"):
        microseconds(datetime(year, 12, 31, tzinfo=UTC).isoformat())


def test_numbers_of_unknown_messages_stay_exact_too() -> None:
    assert decode_object(b'{"a":1e400,"b":0.1}') == {"a": "1e400", "b": "0.1"}


def test_a_secret_is_whole_when_taken_apart_and_hidden_when_shown() -> None:
    secret = Secret("wss://host/?token=abc")
    assert secret.partition("?")[2] == "token=abc"
    assert secret.encode() == b"wss://host/?token=abc"
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>30}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert not any("abc" in text for text in shown)
