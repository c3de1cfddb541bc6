"""`/health`, the probes, and what a client needs to know to take part."""

from litestar import Response, get

from api.messages.responses import ProbeResponse, SystemResponse
from api.routes.requests import ANSWERED_ALWAYS, ServicesDependency
from api.state.health import judge
from indexer.health import HealthResponse

_UNAVAILABLE = 503


@get("/health", opt=ANSWERED_ALWAYS)
async def health(services: ServicesDependency) -> Response[HealthResponse]:
    """Whether the system can answer searches, part by part."""
    breakers = {method: breaker.report() for method, breaker in services.breakers.items()}
    verdict = judge(await services.probe.state(), services.settings, breakers)
    return Response(verdict, status_code=_UNAVAILABLE if verdict.status == "unhealthy" else 200)


@get("/livez", opt=ANSWERED_ALWAYS)
async def livez() -> ProbeResponse:
    """This process runs; nothing else is looked at."""
    return ProbeResponse("ok")


@get("/startupz", opt=ANSWERED_ALWAYS)
async def startupz() -> ProbeResponse:
    """Start-up is over: before that, no request gets here."""
    return ProbeResponse("ok")


@get("/readyz", opt=ANSWERED_ALWAYS)
async def readyz(services: ServicesDependency) -> Response[ProbeResponse]:
    """At least one index answers searches, and none is on its way to its first answer.

    That is waited for once: what fails, then or later, leaves the others ready.
    """
    if not services.is_starting() and await services.probe.answers_searches():
        return Response(ProbeResponse("ok"))
    return Response(ProbeResponse("not ready"), status_code=_UNAVAILABLE)


@get("/system", opt=ANSWERED_ALWAYS)
async def system(services: ServicesDependency) -> SystemResponse:
    """What runs here, and where to publish to."""
    settings = services.settings
    return SystemResponse(
        version=services.version,
        bootstrap_servers=services.bootstrap_servers,
        topic=settings.topic,
        dead_letter_topic=settings.dead_letter_topic,
        indexes=settings.indexes,
        max_body_bytes=settings.max_body_bytes,
    )
