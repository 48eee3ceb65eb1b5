"""Cursors as text, and the timeline from history to what is live."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live.cursor import ALL, STREAM_START, Cursor
from api.live.timeline import MAX_UPDATES, Timeline

orders = st.tuples(st.integers(0, 2**50), st.integers(0, 2**50))


@given(
    st.integers(0, 1023),
    orders,
    st.one_of(st.just(ALL), st.integers(0, 999_999_999)),
    st.just(STREAM_START) | orders,
)
def test_a_cursor_survives_being_text(
    partition: int, update: tuple[int, int], number: int, stored: tuple[int, int]
) -> None:
    cursor = Cursor(partition, update, number if stored == STREAM_START else ALL, stored)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "0", "0.1", "0.1-1.n", "0.1-1.x5", "0.1-1 ", "99999.1-1", "-1.1-1"])
def test_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="is not a cursor"):
        Cursor.parse(text)


def test_the_last_update_without_later_trades_is_found() -> None:
    timeline = Timeline()
    for entry, update in [((10, 0), (100, 0)), ((20, 0), (200, 0)), ((20, 3), (201, 0))]:
        timeline.append(entry, update)
    assert timeline.locate((9, 0)) == STREAM_START
    assert timeline.locate((10, 0)) == (100, 0)
    assert timeline.locate((19, 9)) == (100, 0)
    assert timeline.locate((20, 1)) == (200, 0)
    assert timeline.locate((99, 0)) == (201, 0)


def test_what_was_forgotten_is_not_guessed() -> None:
    timeline = Timeline()
    for number in range(1, 2 * MAX_UPDATES + 1):
        timeline.append((number, 0), (1000 + number, 0))
    assert timeline.locate((1, 0)) is None
    assert timeline.locate((MAX_UPDATES + 1, 0)) == (1000 + MAX_UPDATES + 1, 0)
    assert Timeline((5, 0)).locate((1, 0)) is None
