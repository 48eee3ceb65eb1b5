"""Makes the OpenAPI document as strict as the API."""

from typing import Any

from litestar.openapi.spec import OpenAPI, Schema
from litestar.openapi.spec.enums import OpenAPIType

from api.requests.alerts import DECIMALS

_BODIES = ("AlertRequest", "AlertPatch", "SwitchRequest")


def tighten(document: OpenAPI) -> None:
    """Add to the schemas of bodies that other fields are refused, and the formats of decimals."""
    for name, schema in document.components.schemas.items():
        if name.rpartition("_")[2] in _BODIES:
            schema.additional_properties = False
            for field, described in (schema.properties or {}).items():
                if isinstance(described, Schema) and described.maximum is not None:
                    described.minimum = described.minimum or 0  # the framework omits 0
                if field in DECIMALS and isinstance(described, Schema):
                    _describe_decimal(described, *DECIMALS[field])


def _describe_decimal(schema: Schema, pattern: str, bounds: dict[str, Any]) -> None:
    null = OpenAPIType.NULL in [getattr(option, "type", None) for option in schema.one_of or ()]
    schema.type = None
    schema.one_of = [
        Schema(type=OpenAPIType.STRING, pattern=pattern),
        Schema(type=OpenAPIType.NUMBER, **bounds),
        *([Schema(type=OpenAPIType.NULL)] if null else []),
    ]
