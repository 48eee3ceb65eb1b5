"""Routing of the sandbox's requests to its venues, by the first part of a path.

`/coinbase/products/BTC-USD/trades` is Coinbase's; a path that names no venue is Binance's. `/sandbox/status`
and `/sandbox/tape` are the sandbox's own: `SandboxStatus` as JSON, and a `SymbolTape` by symbol.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from sandbox.connection import SandboxConnection
from sandbox.open_venue import OpenVenue
from sandbox.status import sum_up
from sandbox.venue import Answer
from tickplant.provenance import SOURCE_HEADER

STATUS_PATH: Final = "/sandbox/status"
TAPE_PATH: Final = "/sandbox/tape"
ROOT_VENUE: Final = "binance"
"""The venue of paths that name none."""


class SandboxRouter:
    """Passes each request to the venue that its path names.

    Args:
        venues: by name.
    """

    def __init__(self, venues: Mapping[str, OpenVenue]) -> None:
        self._venues = venues

    def respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is not for a websocket; return None to let a websocket open."""
        assert isinstance(connection, SandboxConnection)
        answer = self._answer(connection, request)
        return None if answer is None else _response(answer)

    def add_provenance(self, connection: ServerConnection, request: Request, response: Response) -> None:
        """Set the header with the provenance of the venue's trades on a response."""
        venue = self._venues.get(self._split(request.path)[0])
        if venue is not None:
            response.headers[SOURCE_HEADER] = venue.source.provenance

    def _answer(self, connection: SandboxConnection, request: Request) -> Answer | None:
        own_path = request.path.partition("?")[0]
        if own_path == STATUS_PATH:
            return _json(sum_up(self._venues))
        if own_path == TAPE_PATH:
            tapes = [venue.source.tape() for venue in self._venues.values()]
            return _json({symbol: tape for by_symbol in tapes for symbol, tape in by_symbol.items()})
        name, path = self._split(request.path)
        if name not in self._venues:
            known = ", ".join(f"/{venue}/" for venue in self._venues)
            return Answer(404, {"Content-Type": "text/plain"}, f"the venues here are at {known}\n".encode())
        return self._venues[name].respond(connection, path, request.headers)

    def _split(self, path: str) -> tuple[str, str]:
        """Return the venue that a path names, and the path at that venue."""
        for name in self._venues:
            rest = path.removeprefix(f"/{name}")
            if rest != path and rest[:1] in ("", "/", "?"):
                return name, rest if rest.startswith("/") else f"/{rest}"
        return ROOT_VENUE, path


def _json(content: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, msgspec.json.encode(content))


def _response(answer: Answer) -> Response:
    headers = Headers(answer.headers)
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)
