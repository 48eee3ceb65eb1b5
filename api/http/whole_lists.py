"""All rows of a list in a table format, read page by page and sent as fast as the client reads them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec
from litestar import Request, Response
from litestar.datastructures.headers import Accept
from litestar.response import Stream
from litestar.types import Scope
from msgspec import Raw, Struct
from msgspec.structs import replace

from api.http.methods import is_head
from api.http.problems import OUTAGE, bad_parameter, conflict, problem_of
from api.http.strict_protocol import transport_of
from api.http.table_formats import TABLE_FORMATS, TableFormat, TooWideError, Width, measure

_log = logging.getLogger(__name__)

JSON: Final = "application/json"
_PAGE_LENGTH: Final = 1000


class WholeRequest(Struct, frozen=True):
    """A request for a whole list."""

    format: TableFormat
    address: str
    """Path and query."""
    known: str
    """The header If-None-Match: what the client has."""
    head: bool
    """Whether only headers are requested."""
    abort: Callable[[], object]
    """Ends the connection at once, so that the client knows that the response is incomplete."""


class Pages(Struct, frozen=True):
    """The pages of a list that are requested; the base of those of each kind of list."""

    limit: int
    after: str | None
    whole: WholeRequest | None = None
    """Set if all rows are requested."""


PagesT = TypeVar("PagesT", bound=Pages)
PageT = TypeVar("PageT")


def whole_request(scope: Scope, format_: str | None) -> WholeRequest | None:
    """Return what is requested if a table is: by a parameter, or else by the header Accept.

    Raises:
        Problem: the format is unknown or not installed, or only a part of the list is requested.
    """
    if format_ not in (None, "json", *TABLE_FORMATS):
        names = ", ".join(("json", *TABLE_FORMATS))
        raise bad_parameter("format", f"{str(format_)[:20]!r} is not one of {names}")
    request: Request[Any, Any, Any] = Request(scope)
    if format_ is None:
        accepted = Accept(request.headers.get("accept", JSON))
        offered = {entry.media_type: name for name, entry in TABLE_FORMATS.items() if entry.available()}
        chosen = offered.get(accepted.best_match([JSON, *offered], JSON) or JSON)
    else:
        chosen = None if format_ == "json" else format_
    if chosen is None:
        return None
    table = TABLE_FORMATS[chosen]
    if not table.available():
        raise bad_parameter("format", f"{chosen} needs pyarrow, which this server lacks: tickplant[arrow]")
    for name in ("limit", "after"):
        if name in request.query_params:
            raise conflict(
                name, f"applies to JSON: {chosen} has the whole list, from start to end where it has times"
            )
    address = f"{request.url.path}?{request.url.query}"
    known = request.headers.get("if-none-match", "")
    return WholeRequest(table, address, known, is_head(scope), transport_of(scope).abort)


async def answer(
    requested: PagesT,
    read: Callable[[PagesT], Awaitable[PageT]],
    rows: Callable[[PageT], Sequence[Any]],
    kind: type[Struct],
    state: Callable[[], Awaitable[str]],
) -> PageT:
    """Return a page, or all rows as a table, which the framework sends as it is.

    Args:
        requested: the list.
        read: reads a page of it.
        rows: returns the rows of a page, of which each may be encoded.
        kind: of the rows.
        state: returns a text that changes whenever the list may have changed.
    """
    whole = requested.whole
    if whole is None:
        return await read(requested)
    identity = f"{version('tickplant')} {whole.format.name} {whole.address} {await state()}"
    tag = f'W/"{sha256(identity.encode()).hexdigest()[:32]}"'
    headers = {
        "Content-Type": whole.format.content_type,
        "ETag": tag,
        "Vary": "Accept",
        "Cache-Control": "no-cache",
    }
    if _matches(whole.known, tag):
        return cast(PageT, Response(None, status_code=304, headers=headers))
    first = replace(requested, limit=_PAGE_LENGTH)
    pages = _Pages(first, await read(first), read, lambda page: _decoded(rows(page), kind))
    # HEAD gets a stream, too: its length is not known.
    body = _nothing() if whole.head else _table(whole, pages, kind)
    return cast(PageT, Stream(body, headers=headers))


async def _nothing() -> AsyncIterator[bytes]:
    """Yield an empty part."""
    yield b""


class _Pages(NamedTuple):
    """All rows of a list, page by page; between two of them nothing of the database is held."""

    requested: Any
    first: Any
    read: Callable[[Any], Awaitable[Any]]
    rows: Callable[[Any], Sequence[Struct]]

    async def __aiter__(self) -> AsyncIterator[Sequence[Struct]]:
        page = self.first
        while True:
            yield self.rows(page)
            next_: str | None = page.next
            if next_ is None:
                return
            # A client that leaves would interrupt a transaction.
            page = await asyncio.shield(self.read(replace(self.requested, after=next_)))


async def _table(whole: WholeRequest, pages: _Pages, kind: type[Struct]) -> AsyncIterator[bytes]:
    """Yield the parts of a table; the rows are read twice where its columns depend on them."""
    try:
        widths: dict[str, Width] = {}
        if whole.format.measured:
            async for page in pages:
                measure(page, kind, widths)
        encoder = whole.format.encoder(kind, widths)
        yield encoder.begin()
        async for page in pages:
            yield await asyncio.to_thread(encoder.rows, page) if whole.format.measured else encoder.rows(page)
        yield await asyncio.to_thread(encoder.end) if whole.format.measured else encoder.end()
    except OUTAGE as error:
        _log.warning("%s of %s ended early: %s", whole.format.name, whole.address, problem_of(error))
        whole.abort()
    except TooWideError as error:
        _log.warning("%s of %s ended early: a wider row came: %s", whole.format.name, whole.address, error)
        whole.abort()


def _decoded(rows: Sequence[Any], kind: type[Struct]) -> Sequence[Struct]:
    if isinstance(rows, Raw):
        decoded: Sequence[Struct] = msgspec.json.decode(rows, type=list[kind])  # type: ignore[valid-type] # made at run time
        return decoded
    return rows


def _matches(known: str, tag: str) -> bool:
    """Return whether If-None-Match names a tag, by weak comparison (RFC 9110, 13.1.2)."""
    names = {name.strip().removeprefix("W/") for name in known.split(",")}
    return "*" in names or tag.removeprefix("W/") in names
