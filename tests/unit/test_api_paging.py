"""Pages cut from ranges and lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.paging import ListToken, NameListToken, TimeRangeToken, cut_list, cut_range, decode_token
from api.http.problems import Problem


def fetch_range(times: list[int], requested: TimeRangeToken, limit: int) -> list[int]:
    """What the database returns: one row more than the page holds, in ascending order."""
    found = [time for time in times if requested.low < (time, 0) < requested.high]
    return found[-limit - 1 :] if requested.newest else found[: limit + 1]


@given(st.lists(st.integers(1, 99), unique=True).map(sorted), st.integers(1, 7), st.booleans())
def test_the_pages_of_a_range_are_the_range(times: list[int], limit: int, newest: bool) -> None:
    requested = TimeRangeToken("list", newest, (0, 0), (100, 0))
    pages = []
    while True:
        rows = fetch_range(times, requested, limit)
        page, following = cut_range(rows, limit, requested, lambda time: (time, 0))
        pages.append(page)
        if following is None:
            break
        assert len(page) == limit
        requested = decode_token(following, TimeRangeToken, "list")
    assert [time for page in (pages[::-1] if newest else pages) for time in page] == times


@given(st.lists(st.text("abc", min_size=1), unique=True).map(sorted), st.integers(1, 7))
def test_the_pages_of_a_list_are_the_list(names: list[str], limit: int) -> None:
    found = []
    last_name = ""
    while True:
        rows = [name for name in names if name > last_name][: limit + 1]
        page, following = cut_list(rows, limit, lambda name: NameListToken("list", name))
        found += page
        if following is None:
            break
        last_name = decode_token(following, NameListToken, "list").last_key
    assert found == names


@pytest.mark.parametrize(("kind", "list_key"), [(NameListToken, "other"), (TimeRangeToken, "list")])
def test_the_token_of_another_list_is_refused(kind: type[ListToken], list_key: str) -> None:
    _, following = cut_list(["a", "b"], 1, lambda name: NameListToken("list", name))
    with pytest.raises(Problem):
        decode_token(str(following), kind, list_key)
