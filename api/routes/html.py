"""The HTML pages: the live page and the API documentation, both without external resources."""

from importlib.resources import files
from typing import Any, Final

from litestar import MediaType, Request, Response, get
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.status_codes import HTTP_404_NOT_FOUND

from api.access.middleware import OPEN
from api.http.problems import NO_SUCH_PATH, Problem
from api.routes.page_files import page_version

_EVERYWHERE: Final = (
    "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PAGE_HEADERS: Final = {
    **_HEADERS,
    "Content-Security-Policy": f"{_EVERYWHERE}; script-src 'self'; style-src 'self'; img-src 'self'",
}
"""The page runs its own files only: no inline script or style, nothing of other origins."""
DOCUMENTATION_HEADERS: Final = {
    **_HEADERS,
    "Content-Security-Policy": f"{_EVERYWHERE}; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data:",
}
"""The documentation is one file, with its script and style inside."""


@get("/", summary="Page", tags=["operation"], media_type=MediaType.HTML, sync_to_thread=False, opt=OPEN)
def get_page() -> Response[bytes]:
    """Return a page that shows a symbol live."""
    content = read_html("index.html").replace(b"/page/", f"/page/{page_version()}/".encode())
    return Response(content, media_type=MediaType.HTML, headers=PAGE_HEADERS)


class DocumentationPage(OpenAPIRenderPlugin):
    """The page that shows the OpenAPI document and sends requests."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, which fetches the document itself."""
        return read_html("docs.html")


def refuse_unknown_documentation(response: Response[Any]) -> Response[Any]:
    """Return a response below the documentation's path; refuse unknown paths as everywhere else.

    Raises:
        Problem: there is no such path.
    """
    if response.status_code == HTTP_404_NOT_FOUND:
        raise Problem(404, "not_found", NO_SUCH_PATH)
    return response


def read_html(name: str) -> bytes:
    """Return the content of an HTML file."""
    return files("api.page").joinpath(name).read_bytes()
