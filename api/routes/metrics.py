"""`GET /metrics`."""

import asyncio

from litestar import Response, get

from api.description.operation import TEXT
from api.routes.requests import ANSWERED_ALWAYS, ServicesDependency
from api.state.exposition import expose_system


@get("/metrics", opt=ANSWERED_ALWAYS)
async def metrics(services: ServicesDependency) -> Response[bytes]:
    """Everything that is measured, summed over the processes of this machine."""
    state = await services.probe.state()
    text = await asyncio.to_thread(expose_system, services.metrics, state)
    return Response(text, media_type=TEXT)
