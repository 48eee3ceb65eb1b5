"""What counts as one client, and how many connections it may have."""

from contextlib import ExitStack
from typing import Any

import pytest

from api.access.addresses import ConnectionLimit, counted_address
from api.http.problems import Problem


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("unknown", "unknown"),
        ("", ""),
        ("x" * 200, "x" * 64),
    ],
)
def test_what_counts_as_one_client(address: str, counted: str | None) -> None:
    assert counted_address(address) == counted


def scope(address: str) -> dict[str, Any]:
    return {"client": (address, 1234)}


def test_an_address_may_have_so_many_connections_at_a_time() -> None:
    limit = ConnectionLimit(2)
    with ExitStack() as others, ExitStack() as connections:
        for address in ("203.0.113.7", "2001:db8::1", "2001:db8::2", *["127.0.0.1"] * 5):
            others.enter_context(limit.counted(scope(address)))
        connections.enter_context(limit.counted(scope("203.0.113.7")))
        for address in ("203.0.113.7", "2001:db8::3"):
            with pytest.raises(Problem) as refusal, limit.counted(scope(address)):
                pass
            assert refusal.value.status == 429
            assert refusal.value.code == "too_many_connections"
            assert "Retry-After" in refusal.value.headers
        connections.close()
        with limit.counted(scope("203.0.113.7")):
            pass
    assert not limit._open
