"""gRPC under test, beside an API of the same services, and its clients."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from api_plant import Plant, live, running_plant
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from keyed import bearer

from api.grpc.server import serving
from api.grpc.service import grpc_limits, stream_gate
from api.http.tls import TlsFiles
from api.live.gate import WebsocketLimits
from tickplant.api.v1.alerts_pb2_grpc import AlertsStub
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.api_keys import NewKey
from tickplant.probes import ServiceReadiness


class GrpcPlant:
    """A server, and stubs of its services."""

    def __init__(self, plant: Plant, port: int, channel: Any) -> None:
        self.plant = plant
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.channel = channel
        self.market: Any = MarketDataStub(channel)
        self.alerts: Any = AlertsStub(channel)


@asynccontextmanager
async def serving_grpc(
    plant: Plant,
    *,
    limits: WebsocketLimits | None = None,
    proxies: Sequence[str] = (),
    tls: TlsFiles | None = None,
    port: int = 0,
    readiness: ServiceReadiness | None = None,
) -> AsyncIterator[GrpcPlant]:
    limits = limits or grpc_limits(10_000, 200)
    gate = stream_gate(plant.services, limits)
    async with (
        serving(
            plant.services,
            gate,
            host="127.0.0.1",
            port=port,
            proxies=proxies,
            tls=tls,
            most_streams=10_000,
            readiness=readiness,
        ) as bound,
        new_channel(bound, tls) as channel,
    ):
        yield GrpcPlant(plant, bound, channel)


def new_channel(port: int, tls: TlsFiles | None = None) -> Any:
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if tls is None:
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    credentials = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


@asynccontextmanager
async def running_grpc(redis_url: str, database_url: str, **options: Any) -> AsyncIterator[GrpcPlant]:
    async with running_plant(redis_url, database_url, **options) as plant:
        await live(plant)
        async with serving_grpc(plant, limits=options.get("limits")) as served:
            yield served


def with_key(key: NewKey | str) -> tuple[tuple[str, str], ...]:
    return tuple(bearer(key).items())


async def next_of(stream: Any) -> Any:
    """The next response of a stream."""
    async with asyncio.timeout(20):
        response = await stream.read()
    assert response is not grpc.aio.EOF, await stream.code()
    return response


async def items_of(stream: Any, field: str, count: int) -> list[Any]:
    """So many elements, or a few more, of a repeated field of a stream's responses."""
    found: list[Any] = []
    while len(found) < count:
        found += getattr(await next_of(stream), field)
    return found


class Refusal:
    """A status other than OK, with its details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.text = error.details() or ""
        self.info, self.request, self.retry = ErrorInfo(), BadRequest(), RetryInfo()
        self.metadata = dict(error.trailing_metadata() or ())
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    for known in (self.info, self.request, self.retry):
                        detail.Unpack(known)

    @property
    def fields(self) -> list[str]:
        return [violation.field for violation in self.request.field_violations]


async def refusal_of(call: Any) -> Refusal:
    """The status of a call that fails, or of a stream that ends, before it is over."""
    try:
        async with asyncio.timeout(20):
            if hasattr(call, "read"):
                while await call.read() is not grpc.aio.EOF:
                    pass
            else:
                await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError("the call succeeded")
