"""Parses request bodies strictly, without rounding decimals. Pure."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.inspect import Metadata, UnionType, type_info
from msgspec.structs import fields

from api.http.problems import Problem, bad_parameter, wrong_value
from tickplant.errors import MALFORMED
from tickplant.near_matches import nearest
from tickplant.validation_messages import place_of

StructT = TypeVar("StructT", bound=Struct)

DECIMAL: Final = {"decimal": True}
"""`extra` of a field's Meta: text that holds a decimal, which may also be given as a JSON number."""

_NUMBER: Final = re.compile(rb"-?\d{1,80}(?:\.\d{1,80})?(?:[eE][+-]?\d{1,2})?")
_WHOLE: Final = re.compile(rb"-?\d{1,18}\.0{1,18}")
"""A whole number with a fraction of zeros, which JSON Schema counts as an integer."""


def parse_body(body: bytes, kind: type[StructT]) -> StructT:
    """Parse a body.

    A number given for a decimal is read digit by digit as written, never as a float.

    Raises:
        Problem: the body is not JSON, or not of the type; it names the field.
    """
    try:
        raw = msgspec.json.decode(body, type=dict[str, Raw])
        known = {field.encode_name: field for field in fields(kind)}
        _check_names(raw, known)
        values = {name: _value(name, known[name].type, text) for name, text in raw.items()}
    except msgspec.ValidationError as error:
        raise Problem(400, "bad_request", "the body is not a JSON object") from error
    except MALFORMED as error:
        raise Problem(400, "bad_request", f"the body is not JSON: {error}") from error
    return convert_fields(values, kind)


def convert_fields(values: Mapping[str, Any], kind: type[StructT]) -> StructT:
    """Return an instance with the values of fields.

    Raises:
        Problem: a field has a wrong value, or one is missing; it names the field.
    """
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
        kinds = {field.encode_name: field.type for field in fields(kind)}
        raise wrong_value(place_of(message) or "body", message, kinds) from error


def is_decimal_field(kind: Any) -> bool:
    """Return whether a field's type is text that holds a decimal."""
    found = type_info(kind)
    options = found.types if isinstance(found, UnionType) else (found,)
    return any(isinstance(option, Metadata) and option.extra == DECIMAL for option in options)


def _check_names(raw: Mapping[str, Raw], known: Mapping[str, Any]) -> None:
    for name in raw:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise bad_parameter(name[:80], f"no such field{hint}")


def _value(name: str, kind: Any, text: Raw) -> Any:
    written = bytes(text)
    if _WHOLE.fullmatch(written) and not is_decimal_field(kind):
        return int(written.partition(b".")[0])
    if not is_decimal_field(kind) or written.startswith((b'"', b"n")):
        return msgspec.json.decode(text)
    if not _NUMBER.fullmatch(written):
        raise bad_parameter(name, 'must be a decimal, as text or as a number: "62000.50", or 62000.50')
    return format(Decimal(written.decode()), "f")
