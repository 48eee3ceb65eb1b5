"""The values that an enumeration allows: types written as `Literal`. Pure."""

from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

INVALID_VALUE: Final = "Invalid enum value"
"""The start of msgspec's message for a value that is not allowed, which doesn't list the allowed ones."""


def allowed_values(kind: Any) -> tuple[str, ...]:
    """Return the words that an enumeration, or a tuple of one, allows, in order; none for other types."""
    origin = get_origin(kind)
    if origin is Literal:
        return tuple(map(str, get_args(kind)))
    if origin is Annotated:
        return allowed_values(get_args(kind)[0])
    if origin in (tuple, Union, UnionType):
        return next(filter(None, map(allowed_values, get_args(kind))), ())
    return ()
