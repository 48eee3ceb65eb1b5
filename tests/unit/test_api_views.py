"""Decimals in JSON."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from api.views.fields import decimal_json

numbers = st.builds(
    lambda digits, places: Decimal((0, tuple(map(int, str(digits))), -places)),
    st.integers(0, 10**40),
    st.integers(0, 40),
)


@given(numbers)
def test_decimals_are_plain_and_lose_no_digit(number: Decimal) -> None:
    text = decimal_json(number)
    assert set(text) <= set("0123456789.")
    assert Decimal(text).as_tuple() == number.as_tuple()
