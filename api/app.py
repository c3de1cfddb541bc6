"""The ASGI application: routes, errors, and the layers around them that see every request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from litestar import Litestar, Response
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler

from api.access.authorised import AuthorisedApp, Gate
from api.access.door import Door
from api.messages.problems import PROBLEM_MEDIA_TYPE, problem_reply
from api.observed import ObservedApp
from api.routes.breakers import list_breakers, open_breaker, reset_breaker
from api.routes.dead_letters import (
    get_dead_letter,
    list_dead_letters,
    purge_dead_letters,
    replay_dead_letters,
    resume_indexers,
)
from api.routes.documents import delete_document, get_document, publish, put_document
from api.routes.health import health, livez, readyz, startupz, system
from api.routes.indexes import list_indexes, promote_generation, roll_back
from api.routes.metrics import metrics as metrics_route
from api.routes.pages import admin_page, page_file, search_page
from api.routes.rebuilds import cancel_rebuild, get_rebuild, list_rebuilds, order_rebuilds
from api.routes.requests import SERVICES, AnyRequest, before_request, provide_services, trace_id
from api.routes.search import search, search_by_link, stream_search
from api.routes.specs import asyncapi, docs, openapi
from api.routes.verifications import cancel_verification, get_verification, list_verifications, order_verifications
from api.services import Services
from streams.metrics import Metrics
from streams.tracing import Tracer

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    search,
    search_by_link,
    stream_search,
    publish,
    put_document,
    get_document,
    delete_document,
    health,
    livez,
    readyz,
    startupz,
    system,
    metrics_route,
    list_breakers,
    open_breaker,
    reset_breaker,
    list_indexes,
    promote_generation,
    roll_back,
    order_rebuilds,
    list_rebuilds,
    get_rebuild,
    cancel_rebuild,
    order_verifications,
    list_verifications,
    get_verification,
    cancel_verification,
    list_dead_letters,
    get_dead_letter,
    replay_dead_letters,
    purge_dead_letters,
    resume_indexers,
    openapi,
    asyncapi,
    docs,
    search_page,
    admin_page,
    page_file,
)

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


def create_app(open_services: OpenServices, metrics: Metrics, gate: Gate, tracer: Tracer) -> ASGIApp:
    """Build the application; it opens the services when it starts, and closes them when it stops.

    Args:
        open_services: opens what the routes work with.
        metrics: of this process.
        gate: decides who may do what.
        tracer: of this process.
    """
    routes = build_routes(open_services)

    def refuse_search(client: str, share: float) -> None:
        services: Services | None = routes.state.get(SERVICES)
        if services is not None:
            services.admission.searches.refuse_if_full(client, share * services.settings.timeout_ms / 1000)

    return ObservedApp(AuthorisedApp(Door(routes, refuse_search), gate), tracer, metrics)


def build_routes(open_services: OpenServices) -> Litestar:
    """The framework's application, without the layers around it."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state[SERVICES] = services
            yield

    return Litestar(
        route_handlers=ROUTES,
        lifespan=[lifespan],
        dependencies={SERVICES: Provide(provide_services, sync_to_thread=False)},
        before_request=before_request,
        exception_handlers={Exception: _problem},
        openapi_config=None,  # see api.description.openapi
        logging_config=None,  # the entry point configures logs
        request_max_body_size=None,  # routes read bodies themselves, each with its own bound
        debug=False,
    )


def _problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    reply = problem_reply(error, trace_id(request))
    return Response(
        reply.body(), status_code=reply.problem.status, headers=reply.headers, media_type=PROBLEM_MEDIA_TYPE
    )
