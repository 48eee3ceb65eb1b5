"""Bodies of requests: what is accepted, and the errors for the rest."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.bodies import parse_body
from api.http.problems import Problem
from api.requests.alerts import AlertPatch, AlertRequest
from api.routes.bot import SwitchRequest


def alert(fields: str) -> AlertRequest:
    return parse_body(b'{"symbol": "BTCUSDT", "kind": "above"%s}' % f", {fields}".encode(), AlertRequest)


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("59000", "59000"),
        ("59000.50", "59000.50"),
        ("0.1", "0.1"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("5.9e4", "59000"),
        ("1E-8", "0.00000001"),
        ("-1", "-1"),
        ('"59000"', "59000"),
        ('"5.9e4"', "5.9e4"),
        ("null", None),
    ],
)
def test_a_number_is_taken_as_exactly_as_it_is_written(written: str, price: str | None) -> None:
    assert alert(f'"price": {written}').price == price
    if price is not None:
        assert parse_body(b'{"hysteresis": %s}' % written.encode(), AlertPatch).hysteresis == price


def test_a_whole_number_may_have_a_zero_fraction() -> None:
    assert alert('"window_s": 60.0').window_s == 60


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**19, places=18))
def test_no_digit_of_a_number_is_lost(number: Any) -> None:
    assert alert(f'"price": {number:f}').price == f"{number:f}"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"enabled": 0}', "enabled: must be true or false, not a whole number"),
        ('{"enabled": "true"}', "enabled: must be true or false, not text"),
        ('{"enabled": null}', "enabled: must be true or false, not null"),
        ("{}", "enabled: is required"),
        ('{"enabled": true, "reason": 5}', "reason: must be text, not a whole number"),
        ('{"enabled": true, "raeson": "x"}', "raeson: no such field; did you mean reason?"),
        ('{"enabled": true, "reason": "%s"}' % ("x" * 201), "reason: must be at most 200 characters long"),
        ("[]", "the body is not a JSON object"),
        ("5", "the body is not a JSON object"),
    ],
)
def test_an_invalid_body_is_explained_in_a_sentence(body: str, detail: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_body(body.encode(), SwitchRequest)
    assert (refused.value.status, refused.value.detail) == (400, detail)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ('"window_s": 90', "window_s: must be a multiple of 60"),
        ('"window_s": 0', "window_s: must be at least 60"),
        ('"window_s": "60"', "window_s: must be a whole number or null, not text"),
        ('"window_s": 60.5', "window_s: must be a whole number or null, not a number"),
        ('"price": true', 'price: must be a decimal, as text or as a number: "62000.50", or 62000.50'),
        ('"price": [1]', 'price: must be a decimal, as text or as a number: "62000.50", or 62000.50'),
        ('"price": 1e100', 'price: must be a decimal, as text or as a number: "62000.50", or 62000.50'),
        ('"repeat": 1', "repeat: must be true or false, not a whole number"),
    ],
)
def test_no_message_is_in_the_words_of_a_library(fields: str, detail: str) -> None:
    with pytest.raises(Problem) as refused:
        alert(fields)
    assert refused.value.detail == detail


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_value_is_taken_or_refused_with_a_problem(value: Any) -> None:
    for name in ("symbol", "price", "window_s", "repeat", "note"):
        body = json.dumps({"symbol": "BTCUSDT", "kind": "gap", name: value})
        with suppress(Problem):
            parse_body(body.encode(), AlertRequest)
