"""Who may open a websocket, and how fast a client may ask."""

import pytest

from api.live.client_limits import TokenBucket, origin_allowed


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (None, (), True),
        ("http://127.0.0.1:8080", (), True),
        ("HTTP://127.0.0.1:8080", (), True),
        ("http://127.0.0.1:8081", (), False),
        ("http://127.0.0.1:8080.evil.example", (), False),
        ("null", (), False),
        ("http://[::1", (), False),
        ("https://example.org", (), False),
        ("https://example.org", ("https://example.org/",), True),
        ("http://example.org", ("https://example.org",), False),
        ("https://example.org", ("*",), True),
    ],
)
def test_origins(origin: str | None, allowed: tuple[str, ...], expected: bool) -> None:
    assert origin_allowed(origin, "127.0.0.1:8080", allowed) is expected


def test_a_burst_and_then_so_many_a_second() -> None:
    allowance = TokenBucket(burst=3, per_s=2, now_s=100)
    assert [allowance.take(100) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(101) for _ in range(3)] == [True, True, False]
    assert [allowance.take(1_000_000) for _ in range(4)] == [True, True, True, False]
