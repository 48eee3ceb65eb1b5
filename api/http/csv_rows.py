"""History as CSV: all rows of a list, read page by page and sent as fast as the client reads them."""

import asyncio
import csv
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from io import StringIO
from typing import Any, Final, TypeVar, cast

import msgspec
from litestar import Request, Response
from litestar.datastructures.headers import Accept
from litestar.response import Stream
from litestar.types import Scope
from msgspec import Raw, Struct
from msgspec.structs import astuple, replace

from api.http.methods import is_head
from api.http.problems import OUTAGE, bad_parameter, conflict, problem_of

_log = logging.getLogger(__name__)

CSV: Final = "text/csv"
JSON: Final = "application/json"
FORMATS: Final = ("json", "csv")
_MEDIA_TYPE: Final = f"{CSV}; charset=utf-8; header=present"
_PAGE_LENGTH: Final = 1000


class CsvRequest(Struct, frozen=True):
    """A request for a list as CSV."""

    address: str
    """Path and query."""
    known: str
    """The header If-None-Match: what the client has."""
    head: bool
    """Whether only headers are requested."""


class Pages(Struct, frozen=True):
    """The pages of a list that are requested; the base of those of each kind of list."""

    limit: int
    after: str | None
    csv: CsvRequest | None = None
    """Set if all rows are requested as CSV."""


PagesT = TypeVar("PagesT", bound=Pages)
PageT = TypeVar("PageT")


def csv_request(scope: Scope, format_: str | None) -> CsvRequest | None:
    """Return what is requested if CSV is: by a parameter, or else by the header Accept.

    Raises:
        Problem: the format is unknown, or only a part of the list is requested.
    """
    if format_ not in (None, *FORMATS):
        raise bad_parameter("format", f"{str(format_)[:20]!r} is not one of {', '.join(FORMATS)}")
    request: Request[Any, Any, Any] = Request(scope)
    accepted = Accept(request.headers.get("accept", JSON))
    if format_ == "json" or (format_ is None and accepted.best_match([JSON, CSV], JSON) != CSV):
        return None
    for name in ("limit", "after"):
        if name in request.query_params:
            raise conflict(
                name, "applies to JSON: CSV has the whole list, from start to end where it has times"
            )
    address = f"{request.url.path}?{request.url.query}"
    return CsvRequest(address, request.headers.get("if-none-match", ""), is_head(scope))


async def answer(
    requested: PagesT,
    read: Callable[[PagesT], Awaitable[PageT]],
    rows: Callable[[PageT], Sequence[Any]],
    kind: type[Struct],
    state: Callable[[], Awaitable[str]],
) -> PageT:
    """Return a page, or all rows as CSV, which the framework sends as it is.

    Args:
        requested: the list.
        read: reads a page of it.
        rows: returns the rows of a page, of which each may be encoded.
        kind: of the rows.
        state: returns a text that changes whenever the list may have changed.
    """
    if requested.csv is None:
        return await read(requested)
    identity = f"{version('tickplant')} {requested.csv.address} {await state()}"
    tag = f'W/"{sha256(identity.encode()).hexdigest()[:32]}"'
    headers = {"Content-Type": _MEDIA_TYPE, "ETag": tag, "Vary": "Accept", "Cache-Control": "no-cache"}
    if _matches(requested.csv.known, tag):
        return cast(PageT, Response(None, status_code=304, headers=headers))
    first = replace(requested, limit=_PAGE_LENGTH)
    page = await read(first)
    # HEAD gets a stream, too: its length is not known.
    body = _nothing() if requested.csv.head else _lines(first, page, read, rows, kind)
    return cast(PageT, Stream(body, headers=headers))


async def _nothing() -> AsyncIterator[bytes]:
    """Yield an empty part."""
    yield b""


async def _lines(
    requested: PagesT,
    page: PageT,
    read: Callable[[PagesT], Awaitable[PageT]],
    rows: Callable[[PageT], Sequence[Any]],
    kind: type[Struct],
) -> AsyncIterator[bytes]:
    """Yield the lines of each page; while the client reads them, nothing of the database is held."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(field.encode_name for field in msgspec.structs.fields(kind))
    while True:
        writer.writerows([_cell(value) for value in astuple(row)] for row in _decoded(rows(page), kind))
        yield text.getvalue().encode()
        next_: str | None = getattr(page, "next")  # noqa: B009 - the type of pages is not known here
        if next_ is None:
            return
        text.seek(0)
        text.truncate()
        try:
            # A client that leaves would interrupt a transaction.
            page = await asyncio.shield(read(replace(requested, after=next_)))
        except OUTAGE as error:
            # Without its last chunk the client knows that the response is incomplete.
            _log.warning(
                "CSV of %s ended early: %s", requested.csv and requested.csv.address, problem_of(error)
            )
            raise


def _decoded(rows: Sequence[Any], kind: type[Struct]) -> Sequence[Struct]:
    if isinstance(rows, Raw):
        decoded: Sequence[Struct] = msgspec.json.decode(rows, type=list[kind])  # type: ignore[valid-type]
        return decoded
    return rows


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: text and numbers as in JSON, null as nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return msgspec.json.encode(value).decode()
    return value


def _matches(known: str, tag: str) -> bool:
    """Return whether If-None-Match names a tag, by weak comparison (RFC 9110, 13.1.2)."""
    names = {name.strip().removeprefix("W/") for name in known.split(",")}
    return "*" in names or tag.removeprefix("W/") in names
