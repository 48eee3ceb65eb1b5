"""The HTML pages: the live page and the API documentation, both without external resources."""

from importlib.resources import files
from typing import Any, Final

from litestar import MediaType, Request, Response, get
from litestar.openapi.plugins import OpenAPIRenderPlugin

from api.access.middleware import OPEN

CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:;"
    " connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@get("/", summary="Page", tags=["operation"], media_type=MediaType.HTML, sync_to_thread=False, opt=OPEN)
def get_page() -> Response[bytes]:
    """Return a page that shows a symbol live."""
    return Response(read_html("index.html"), media_type=MediaType.HTML, headers=PAGE_HEADERS)


class DocumentationPage(OpenAPIRenderPlugin):
    """The page that shows the OpenAPI document and sends requests."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, which fetches the document itself."""
        return read_html("docs.html")


def read_html(name: str) -> bytes:
    """Return the content of an HTML file."""
    return files("api.page").joinpath(name).read_bytes()
