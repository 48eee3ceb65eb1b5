"""Makes the OpenAPI document as strict and as complete as the API."""

from copy import copy
from typing import Any, Final

from litestar import Litestar
from litestar.openapi.spec import OpenAPI, OpenAPIMediaType, OpenAPIResponse, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.routes import HTTPRoute

from api.access.middleware import scope_of
from api.http.table_formats import TABLE_FORMATS
from api.requests.alerts import DECIMALS

_CLOSED = ("AlertRequest", "AlertPatch", "SwitchRequest", "Readiness")
"""Schemas of objects that have no further fields."""
_REFUSALS: Final = {
    "400": "The request is malformed, or its address contains an API key.",
    "401": "An API key is needed, or the one that was sent is not valid.",
    "421": "The host is not one of this API.",
    "429": "The key or the address has sent too many requests; Retry-After gives the seconds to wait.",
}
"""Of every route."""
_FORBIDDEN: Final = {"403": "The API key lacks the scope that this needs."}


def complete(app: Litestar) -> None:
    """Add to the document what the framework doesn't know."""
    _tighten(app.openapi_schema)
    _add_refusals(app)
    _add_tables(app.openapi_schema)


def _tighten(document: OpenAPI) -> None:
    """Add to the schemas that other fields are refused, and the formats of decimals."""
    for name, schema in document.components.schemas.items():
        if name.rpartition("_")[2] in _CLOSED:
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


def _add_refusals(app: Litestar) -> None:
    """Document the refusals that every route has in common."""
    paths = app.openapi_schema.paths or {}
    problem = _problem_of(app.openapi_schema)
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format not in paths:
            continue
        for handler in route.route_handlers:
            needed = scope_of(handler)
            for method in handler.http_methods:
                operation = getattr(paths[route.path_format], method.lower(), None)
                if operation is None or operation.responses is None:
                    continue
                refusals = _REFUSALS | (_FORBIDDEN if needed is not None else {})
                for status, description in refusals.items():
                    if status not in operation.responses:
                        operation.responses[status] = copy(problem)
                        operation.responses[status].description = description


def _add_tables(document: OpenAPI) -> None:
    """Add to the routes that have the parameter `format` the answers that table formats add."""
    for item in (document.paths or {}).values():
        operation = item.get
        names = [getattr(parameter, "name", "") for parameter in (operation and operation.parameters) or ()]
        if operation is None or "format" not in names:
            continue
        responses = operation.responses or {}
        found = responses["200"]
        if isinstance(found, OpenAPIResponse) and found.content is not None:
            for table in TABLE_FORMATS.values():
                found.content[table.media_type] = OpenAPIMediaType(
                    Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY if table.measured else None)
                )
        responses["304"] = OpenAPIResponse("The client has this table already.")


def _problem_of(document: OpenAPI) -> OpenAPIResponse:
    """Return the document's own description of a problem document."""
    for item in (document.paths or {}).values():
        response = (item.get.responses or {}).get("503") if item.get else None
        if isinstance(response, OpenAPIResponse) and response.content:
            return response
    raise LookupError("no route documents a problem")
