"""Corruptions of a frame's text after which it is no valid frame of any kind."""

import random
import re
from functools import cache
from typing import Final

from sandbox.frames import encode_frame

OVERSIZED_BYTES: Final = 5 * 1024 * 1024

_VALUE: Final = re.compile(rb'(?<=":)("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)(?=[,}])')
_OTHER_TYPES: Final = (b"[]", b"{}", b"true", b'"?"', b"null")


def garble(text: bytes, draw: random.Random) -> bytes:
    """Return a text that is no JSON: without its end, or without its start."""
    cut = draw.randrange(1, max(2, len(text)))
    return text[:-cut] if draw.random() < 0.8 else text[cut:] + b"}"


def mistype(text: bytes, draw: random.Random) -> bytes:
    """Return a text in which one value has another type."""
    values = list(_VALUE.finditer(text))
    if not values:
        return b"[]"
    value = draw.choice(values)
    others = [other for other in _OTHER_TYPES if other[:1] != value[0][:1]]
    if value[0] == b"false":
        others.remove(b"true")
    return text[: value.start()] + draw.choice(others) + text[value.end() :]


@cache
def oversized() -> bytes:
    """Return a frame that means nothing and is larger than clients take."""
    return encode_frame(b'{"noise":"%b"}' % (b"x" * OVERSIZED_BYTES))
