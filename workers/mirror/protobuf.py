"""The part of Protobuf's wire format that schema/tickplant.proto needs.

Written by hand rather than generated: there are few types, and generated code needs a runtime of a matching
version. The tests compile the schema with protoc, and decode with it what is encoded here. Source:
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from typing import Any, Final

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_double: Final = Struct("<d").pack
_SINGLE: Final = [bytes((number,)) for number in range(0x80)]


def encode_message(values: Iterable[Any]) -> bytes:
    """Encode a message whose fields are numbered from 1 in this order; None is an absent field.

    Args:
        values: of type str, int (int64), bool, float (double) or Mapping (map<string, double>).
    """
    return b"".join(
        [_WRITERS[type(value)](number, value) for number, value in enumerate(values, 1) if value is not None]
    )


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SINGLE[number]
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _text(number: int, value: str) -> bytes:
    return _sized(number, value.encode())


def _sized(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _number(number: int, value: float) -> bytes:
    return _varint(number << 3 | _FIXED64) + _double(value)


def _map(number: int, value: Mapping[str, float]) -> bytes:
    return b"".join([_sized(number, encode_message(pair)) for pair in value.items()])


_WRITERS: Final[dict[type, Callable[[int, Any], bytes]]] = {
    str: _text,
    int: _integer,
    bool: _integer,
    float: _number,
    dict: _map,
}
