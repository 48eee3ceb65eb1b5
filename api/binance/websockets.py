"""Binance's websockets: the streams in the address, and those that a client subscribes to."""

from litestar import websocket

from api.binance.errors import require_venue
from api.binance.translation import Translation
from api.http.problems import bad_parameter
from api.live.gate import Socket, WebsocketGate
from api.queries.symbols import SymbolDirectory
from api.routes.responses import Service


def _venue(socket: Socket) -> str:
    venue: str = socket.path_params.get("venue", "binance")
    return venue.lower()


@websocket(["/ws", "/ws/{streams:path}", "/{venue:str}/ws", "/{venue:str}/ws/{streams:path}"])
async def ws(
    socket: Socket, websocket_gate: Service[WebsocketGate], directory: Service[SymbolDirectory]
) -> None:
    """Serve a client whose messages don't name their streams."""
    streams = str(socket.path_params.get("streams", "")).strip("/")
    await _serve(socket, websocket_gate, directory, Translation(_venue(socket), streams, combined=False))


@websocket(["/stream", "/{venue:str}/stream"])
async def stream(
    socket: Socket, websocket_gate: Service[WebsocketGate], directory: Service[SymbolDirectory]
) -> None:
    """Serve a client whose messages name their streams."""
    streams = socket.query_params.get("streams", "")
    await _serve(socket, websocket_gate, directory, Translation(_venue(socket), streams, combined=True))


async def _serve(
    socket: Socket, gate: WebsocketGate, directory: SymbolDirectory, translation: Translation
) -> None:
    async def first_request() -> bytes | None:
        await require_venue(directory, _venue(socket))
        try:
            return translation.first_request()
        except ValueError as error:
            raise bad_parameter("streams", str(error)) from error

    await gate.serve(socket, first_request, translation=translation)
