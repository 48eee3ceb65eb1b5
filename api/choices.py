"""What a parameter, or a field of a body, may be where it is one of a few words. Pure."""

from typing import Any

from litestar.handlers import BaseRouteHandler
from msgspec.inspect import LiteralType, type_info
from msgspec.structs import fields


def choices(handler: BaseRouteHandler, name: str) -> tuple[str, ...]:
    """Return the words that a parameter of a route may be; none where it may be anything else."""
    kinds = {key: field.annotation for key, field in handler.parsed_fn_signature.parameters.items()}
    if name not in kinds and "data" in kinds:
        kinds |= {field.encode_name: field.type for field in fields(kinds["data"])}
    return _words(kinds[name]) if name in kinds else ()


def _words(kind: Any) -> tuple[str, ...]:
    info: Any = type_info(kind)
    for each in getattr(info, "types", (info,)):  # of a union
        bare = getattr(each, "type", each)  # of what is annotated
        if isinstance(bare, LiteralType):
            return tuple(map(str, bare.values))
    return ()
