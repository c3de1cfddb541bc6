"""What an indexer answers on its port: the same paths and shapes as the API, of this process alone.

There are no keys: what is told are figures, and the port is for whatever runs and watches containers, not for clients.
"""

import asyncio
from typing import Final

from litestar import Litestar, Response, get

from api.description.operation import TEXT
from api.messages.responses import ProbeResponse
from indexer.health import DiskCollector, HealthResponse
from infra.probes.health import IndexerHealth
from streams.metrics import Metrics, expose

_UNAVAILABLE: Final = 503


def make_app(health: IndexerHealth, metrics: Metrics) -> Litestar:
    """Build the application.

    Args:
        health: of this process.
        metrics: of this process.
    """

    @get("/livez")
    async def livez() -> ProbeResponse:
        return ProbeResponse("ok")

    @get("/readyz")
    async def readyz() -> Response[ProbeResponse]:
        if await health.is_ready():
            return Response(ProbeResponse("ok"))
        return Response(ProbeResponse("not ready"), status_code=_UNAVAILABLE)

    @get("/health")
    async def health_report() -> Response[HealthResponse]:
        report = await health.report()
        return Response(report, status_code=_UNAVAILABLE if report.status == "unhealthy" else 200)

    @get("/metrics")
    async def metrics_text() -> Response[bytes]:
        collector = DiskCollector(await health.disk())
        return Response(await asyncio.to_thread(expose, metrics, collector), media_type=TEXT)

    return Litestar([livez, readyz, health_report, metrics_text], openapi_config=None, logging_config=None, debug=False)
