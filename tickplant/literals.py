"""Types that are one of a few words. Pure."""

from typing import Any, Final

from msgspec.inspect import LiteralType, Metadata, UnionType, VarTupleType, type_info

NONE_OF_THEM: Final = "Invalid enum value"
"""How msgspec begins to say that a word is none of those; it doesn't name them."""


def words_of(kind: Any) -> tuple[str, ...]:
    """Return the words that a value of a type may be, or its items; none where it may be anything else."""
    return _words(type_info(kind))


def _words(info: Any) -> tuple[str, ...]:
    match info:
        case LiteralType():
            return tuple(map(str, info.values))
        case Metadata():
            return _words(info.type)
        case VarTupleType():
            return _words(info.item_type)
        case UnionType():
            return next(filter(None, map(_words, info.types)), ())
        case _:
            return ()
