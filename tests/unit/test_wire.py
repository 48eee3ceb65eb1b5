"""Whatever is in an entry of a stream is decoded, or malformed; no other error is raised."""

import pytest

from tickplant import wire, wire_columns
from tickplant.errors import PoisonError
from tickplant.kernel import decode_columns
from tickplant.market import Trade

NESTED = b"\x91" * 5_000
"""A list in a list, deeper than a decoder descends."""
NOT_UTF8 = bytes.fromhex("9198a2c328") + b"\xa1A\x01\xa11\xa11\xc0\x00\x00"
"""A batch of version 1 with a trade whose venue is not UTF-8."""
MALFORMED = [NESTED, b"\x81\xa1\xff" + NESTED, b"\xdf\xff\xff\xff\xff", b"\xc1", b""]


@pytest.mark.parametrize("payload", MALFORMED)
@pytest.mark.parametrize(
    "decode",
    [
        wire.decode_trades,
        wire.decode_clock,
        wire.decode_verdict,
        wire.decode_change,
        wire.decode_each_trade,
        wire_columns.decode_columns,
        wire_columns.decode_each_column,
        decode_columns,
    ],
)
def test_malformed_payloads_are_poison(decode: object, payload: bytes) -> None:
    with pytest.raises(PoisonError):
        decode(payload)  # type: ignore[operator]


@pytest.mark.parametrize("decode", [wire.decode_each_trade, wire_columns.decode_each_column])
def test_text_that_is_not_utf8_breaks_its_trade_only(decode: object) -> None:
    good = wire.encode_trades([Trade("v", "A", 1, "1", "1", None, 1, 1)])[1:]
    trades, broken = decode(b"\x92" + NOT_UTF8[1:] + good)  # type: ignore[operator]
    assert len(trades) == len(broken) == 1


@pytest.mark.parametrize(
    "decode", [wire.decode_trade, wire.decode_gaps, wire.decode_update, wire.decode_connection]
)
@pytest.mark.parametrize("payload", [*MALFORMED[:-1], b"\x98\xa2\xc3\x28"])
def test_other_malformed_content_of_redis_is_poison(decode: object, payload: bytes) -> None:
    with pytest.raises(PoisonError):
        decode(payload)  # type: ignore[operator]
