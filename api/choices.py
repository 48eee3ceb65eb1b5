"""What a parameter, or a field of a body, may be where it is one of a few words. Pure."""

from litestar.handlers import BaseRouteHandler
from msgspec.structs import fields

from tickplant.words import words_of


def choices(handler: BaseRouteHandler, name: str) -> tuple[str, ...]:
    """Return the words that a parameter of a route may be; none where it may be anything else."""
    kinds = {key: field.annotation for key, field in handler.parsed_fn_signature.parameters.items()}
    if name not in kinds and "data" in kinds:
        kinds |= {field.encode_name: field.type for field in fields(kinds["data"])}
    return words_of(kinds[name]) if name in kinds else ()
