"""The compiled kernel says what Python says, of whatever it is given."""

import os
import random
import subprocess
import sys
from typing import Any

import pytest
from columnar import trades
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant import kernel, wire_columns
from tickplant.columns import group_trades
from tickplant.market import Trade

compiled: Any = pytest.importorskip("tickplant.kernel.compiled", reason="the kernel is not compiled here")
kernel_fuzz: Any = pytest.importorskip("kernel_fuzz")


@given(st.lists(trades(valid=False), max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_an_entry_decodes_and_answers_as_in_python(groups: list[list[Trade]], choose: random.Random) -> None:
    columns = group_trades([trade for group in groups for trade in group])
    kernel_fuzz.check_entry(wire_columns.encode_columns(columns), choose)


@given(st.lists(trades(), min_size=1, max_size=2), st.randoms(use_true_random=False), st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_entry_is_judged_as_in_python(
    groups: list[list[Trade]], choose: random.Random, data: st.DataObject
) -> None:
    payload = wire_columns.encode_columns(group_trades([trade for group in groups for trade in group]))
    start = data.draw(st.integers(0, len(payload)))
    stop = data.draw(st.integers(start, min(len(payload), start + 4)))
    kernel_fuzz.check_entry(payload[:start] + data.draw(st.binary(max_size=4)) + payload[stop:], choose)


def test_every_truncation_of_an_entry_is_judged_as_in_python() -> None:
    choose = random.Random(1)
    payload = wire_columns.encode_columns(group_trades(kernel_fuzz.some_trades(choose)[:20]))
    for length in range(len(payload)):
        kernel_fuzz.check_entry(payload[:length], choose)
        kernel_fuzz.check_entry(payload[:length] + b"\xff" + payload[length + 1 :], choose)


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_python_says_of_made_up_input(seed: int) -> None:
    kernel_fuzz.run(seed, 100)


def test_most_of_it_stays_in_c() -> None:
    columns = group_trades(kernel_fuzz.some_trades(random.Random(4)))
    for whole in compiled.decode_columns(wire_columns.encode_columns(columns)):
        for part in (
            whole,
            whole.slice(1, 3),
            whole.shift_ids(1),
            compiled.concat([whole, whole]),
            whole.select([0]),
        ):
            assert type(part) is compiled.TradeColumns


@pytest.mark.parametrize(
    ("choice", "name"), [("python", "python"), ("compiled", "compiled"), ("", kernel.NAME)]
)
def test_the_environment_chooses(choice: str, name: str) -> None:
    command = [sys.executable, "-c", "from tickplant import kernel; print(kernel.NAME)"]
    env = {**os.environ, "TICKPLANT_KERNEL": choice}
    if not choice:
        name = "compiled"
    assert subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip() == name


def test_another_choice_is_refused_by_name() -> None:
    command = [sys.executable, "-c", "import tickplant.kernel"]
    env = {**os.environ, "TICKPLANT_KERNEL": "fast"}
    said = subprocess.run(command, env=env, check=False, capture_output=True, text=True).stderr
    assert "TICKPLANT_KERNEL is 'fast'; it may be auto, python or compiled" in said
