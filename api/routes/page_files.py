"""The files of the page: modules, styles, and the chart library."""

from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.openapi.spec import Example
from litestar.params import PathParameter

from api.access.middleware import OPEN
from api.chart_library import ChartLibraryError, read_chart_library
from api.http.problems import Problem
from api.routes.responses import documented_problem

CHART_LIBRARY: Final = "lightweight-charts.js"
_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FileName = Annotated[str, PathParameter(description="Its name.", examples=[Example(value="main.js")])]
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


@get(
    "/page/{name:str}",
    summary="File of the page",
    tags=["operation"],
    media_type="text/javascript",
    responses={404: documented_problem("There is no such file, or the chart library is not installed.")},
    sync_to_thread=False,
    opt=OPEN,
)
def get_page_file(name: FileName, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return a file of the page; browsers ask each time whether it has changed."""
    suffix = name[name.rfind(".") :]
    if suffix not in _MEDIA_TYPES:
        raise Problem(404, "not_found", "there is no such file")
    content = read_chart_library_file() if name == CHART_LIBRARY else read_page_file(name)
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    return Response(content, media_type=_MEDIA_TYPES[suffix], headers=headers)


def read_page_file(name: str) -> bytes:
    """Return the content of a file of the page.

    Raises:
        Problem: there is none of this name.
    """
    path = files("api.page").joinpath(name)
    if "/" in name or "\\" in name or "\0" in name or not path.is_file():
        raise Problem(404, "not_found", "there is no such file")
    return path.read_bytes()


def read_chart_library_file() -> bytes:
    """Return the chart library.

    Raises:
        Problem: it is missing or another version; the page shows the message.
    """
    try:
        return read_chart_library()
    except ChartLibraryError as error:
        raise Problem(404, "chart_library_missing", str(error)) from error
