"""The files of the page: modules, styles, and the chart library."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Final

from litestar import Response, get
from litestar.openapi.spec import Example
from litestar.params import PathParameter

from api.access.middleware import OPEN
from api.chart_library import SHA256, ChartLibraryError, read_chart_library
from api.http.problems import Problem
from api.routes.responses import documented_problem

CHART_LIBRARY: Final = "lightweight-charts.js"
_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FileVersion = Annotated[
    str,
    PathParameter(
        description="As in the page; browsers keep the files of a version.",
        examples=[Example(value="0")],
    ),
]
FileName = Annotated[str, PathParameter(description="Its name.", examples=[Example(value="main.js")])]


@get(
    "/page/{version:str}/{name:str}",
    summary="File of the page",
    tags=["operation"],
    media_type="text/javascript",
    responses={404: documented_problem("There is no such file, or the chart library is not installed.")},
    sync_to_thread=False,
    opt=OPEN,
)
def get_page_file(version: FileVersion, name: FileName) -> Response[bytes]:
    """Return a file of the page.

    Modules import each other by relative addresses, so that all of a page have the version in its address.
    """
    suffix = name[name.rfind(".") :]
    if suffix not in _MEDIA_TYPES:
        raise Problem(404, "not_found", "there is no such file")
    content = _read_chart_library() if name == CHART_LIBRARY else _read(name)
    kept = "max-age=31536000, immutable" if version == page_version() else "no-cache"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_MEDIA_TYPES[suffix], headers=headers)


@cache
def page_version() -> str:
    """Return a text that differs whenever any file of the page does."""
    digest = sha256(SHA256.encode())
    for path in sorted(_files(), key=lambda path: path.name):
        content = path.read_bytes()
        digest.update(f"{path.name}/{len(content)}/".encode() + content)
    return digest.hexdigest()[:16]


def _files() -> list[Traversable]:
    return [path for path in files("api.page").iterdir() if path.name[path.name.rfind(".") :] in _MEDIA_TYPES]


def _read(name: str) -> bytes:
    """Return the content of a file of the page; raises `Problem` if there is none of this name."""
    for path in _files():
        if path.name == name:
            return path.read_bytes()
    raise Problem(404, "not_found", "there is no such file")


def _read_chart_library() -> bytes:
    """Return the chart library; raises `Problem` if it is missing, whose message the page shows."""
    try:
        return read_chart_library()
    except ChartLibraryError as error:
        raise Problem(404, "chart_library_missing", str(error)) from error
