"""The template of JSON objects, in Python and compiled: the same, and what msgspec encodes."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant import json_template, kernel

KINDS = [json_template.fill_template, kernel.fill_template]
LITERALS = ('{"id":', ',"price":"', '","side":', "}")

Fill = Callable[[str, tuple[str, ...], bool], bytes]


@pytest.mark.parametrize("fill", KINDS)
@given(
    st.lists(st.tuples(st.integers(), st.decimals(allow_nan=False), st.sampled_from(["buy", "sell", None]))),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_rows_become_the_objects_that_msgspec_encodes(fill: Fill, made: list[Any], backwards: bool) -> None:
    lines = [f"{number}\t{price}\t{msgspec.json.encode(side).decode()}" for number, price, side in made]
    expected = [{"id": number, "price": str(price), "side": side} for number, price, side in made]
    assert fill("\n".join(lines), LITERALS, backwards) == msgspec.json.encode(
        expected[::-1] if backwards else expected
    )


@pytest.mark.parametrize("fill", KINDS)
@pytest.mark.parametrize("rows", ["1\t2", "1\t2\t3\t4", "1\t2\t3\n", "1\t2\n3\t4\t5\t6"])
def test_a_row_with_more_or_fewer_values_is_refused(fill: Fill, rows: str) -> None:
    with pytest.raises(ValueError, match="each row needs 3 values"):
        fill(rows, LITERALS, False)


@given(
    st.lists(st.lists(st.sampled_from(["", "1", "é", "ab"]), min_size=1, max_size=3), max_size=4),
    st.lists(st.sampled_from(["", "{", "é", '":"']), min_size=2, max_size=4),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_both_kernels_give_the_same(values: list[list[str]], literals: list[str], backwards: bool) -> None:
    rows = "\n".join(map("\t".join, values))

    def answer(fill: Fill) -> bytes | str:
        try:
            return fill(rows, tuple(literals), backwards)
        except ValueError as error:
            return str(error)

    assert answer(kernel.fill_template) == answer(json_template.fill_template)
