"""Internals of websockets, redis-py and httpx that are used: a change fails here, not in a connection.

Those of uvicorn are in `test_api_uvicorn.py`. That frames and commands still pass through the subclasses is
tested in `test_ingest_connection.py`, `test_redis_servers.py` and `test_redis_exchange.py`.
"""

import httpx
from internals import changed_signatures, missing
from redis.asyncio.connection import (
    Connection,
    ConnectionPool,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import NoScriptError
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from ingest.connection import VenueConnection, _ProxiedConnect
from ingest.venue_http import _ProxiedTransport
from tickplant.redis_client import _Sending


async def test_websockets_has_what_its_subclasses_use() -> None:
    parent = ClientConnection(ClientProtocol(parse_uri("ws://localhost")))
    parent.connection_lost_waiter = parent.loop.create_future()  # set when the connection is made
    assert sorted(set(missing(VenueConnection, parent)) - {"transport"}) == []
    assert hasattr(parent.protocol, "state")
    assert hasattr(type(parent.protocol), "close_exc")
    assert list(changed_signatures(VenueConnection, ClientConnection)) == []
    assert list(changed_signatures(_ProxiedConnect, connect)) == []


async def test_redis_has_what_its_subclass_uses() -> None:
    for kind in (Connection, SSLConnection, UnixDomainSocketConnection):
        assert sorted(missing(_Sending, kind())) == []
        assert list(changed_signatures(_Sending, kind)) == []


async def test_redis_has_what_exchanges_take_over() -> None:
    for kind in (Connection, SSLConnection, UnixDomainSocketConnection):
        assert [
            name for name in ("_writer", "can_read", "_close", "connect") if not hasattr(kind(), name)
        ] == []
    pool = ConnectionPool.from_url("redis://localhost", socket_timeout=1.5)
    assert pool.connection_kwargs["socket_timeout"] == 1.5
    assert isinstance(pool.make_connection(), Connection)  # type: ignore[no-untyped-call]
    assert isinstance(DefaultParser.parse_error("NOSCRIPT none"), NoScriptError)  # type: ignore[no-untyped-call]


def test_httpx_has_what_its_subclass_uses() -> None:
    assert list(changed_signatures(_ProxiedTransport, httpx.AsyncHTTPTransport)) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert {"data_received", "process_event", "protocol"} <= set(missing(VenueConnection, object()))
    assert {"connect_check_health", "_send_packed_command"} <= set(missing(_Sending, object()))
