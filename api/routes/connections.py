"""The states of venue connections."""

from litestar import get
from msgspec import Struct

from api.queries.connections import Connections
from api.routes.responses import BAD_PARAMETER, UNAVAILABLE, Service
from api.views.connections import ConnectionView, connection_view


class ConnectionList(Struct, frozen=True):
    """All connections to venues, by name."""

    connections: list[ConnectionView]


@get("/connections", summary="Venue connections", tags=["operation"], responses=BAD_PARAMETER | UNAVAILABLE)
async def get_connections(connections: Service[Connections]) -> ConnectionList:
    """List the connections to venues that processes hold or try to open."""
    return ConnectionList([connection_view(connection) for connection in await connections.read()])
