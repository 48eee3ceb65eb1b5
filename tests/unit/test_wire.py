"""Whatever is in an entry of a stream is decoded, or malformed; no other error is raised."""

import pytest

from tickplant import wire, wire_columns
from tickplant.errors import PoisonError
from tickplant.kernel import decode_columns

NESTED = b"\x91" * 5_000
"""A list in a list, deeper than a decoder descends."""
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
