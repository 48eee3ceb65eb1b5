"""Liveness, readiness, health and metrics of this process."""

from typing import Literal

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access.middleware import OPEN
from api.health import Health, HealthReport
from api.http.problems import RETRY_AFTER_S
from api.routes.parameters import Sender
from api.routes.responses import Service


class Readiness(Struct, frozen=True):
    """Whether the process can serve, for callers that may not read what it depends on."""

    status: Literal["ready", "degraded", "unready"]


class Alive(Struct, frozen=True):
    """The response of a live process."""

    status: str = "live"


@get("/health/live", summary="Alive?", tags=["operation"], opt=OPEN)
async def get_live() -> Alive:
    """Respond, without any check."""
    return Alive()


@get(
    "/health/ready",
    summary="Ready?",
    tags=["operation"],
    opt=OPEN,
    responses={
        503: ResponseSpec(HealthReport | Readiness, description="Not ready.", generate_examples=False)
    },
)
async def get_ready(health: Service[Health], caller: Sender) -> Response[HealthReport | Readiness]:
    """Report on everything that the API depends on, with status 503 if it can't serve.

    Without an API key, where one is needed, only the status is reported.
    """
    report = await health.report()
    shown = report if caller.may("read") else Readiness(report.status)
    if report.status == "unready":
        return Response(shown, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})
    return Response(shown)


@get("/health", summary="Health", tags=["operation"])
async def get_health(health: Service[Health]) -> HealthReport:
    """Report on everything that the API depends on, always with status 200."""
    return await health.report()


@get("/metrics", summary="Metrics", tags=["operation"], media_type=CONTENT_TYPE_LATEST, sync_to_thread=False)
def get_metrics() -> bytes:
    """Return this process's metrics in the text format of Prometheus."""
    return generate_latest()
