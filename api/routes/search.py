"""`POST /search`, `GET /search` and `GET /search/stream`."""

import asyncio
import time
from typing import Final

from litestar import get, post

from api.messages.body import decode_json, read_body
from api.messages.parameters import SearchRequest, parse_parameters
from api.messages.responses import SearchResponse
from api.routes.event_stream import EventStream
from api.routes.requests import AnyRequest, ServicesDependency, body_chunks, client, trace_id
from api.searching.fanout import OnOutcome, nobody
from api.searching.plan import SearchPlan
from api.services import Services
from streams.errors import EmbedSearchError

MAX_SEARCH_BYTES: Final = 65_536


@post("/search", status_code=200)
async def search(request: AnyRequest, services: ServicesDependency) -> SearchResponse:
    """Search with all options."""
    body = await read_body(body_chunks(request), MAX_SEARCH_BYTES)
    return await _answer(request, services, services.rules.plan(decode_json(body, SearchRequest)))


@get("/search")
async def search_by_link(request: AnyRequest, services: ServicesDependency) -> SearchResponse:
    """Search by a link; without `q`, the newest documents."""
    return await _answer(request, services, _linked_plan(request, services))


@get("/search/stream")
async def stream_search(request: AnyRequest, services: ServicesDependency) -> EventStream:
    """Search by a link, and tell of each method as it answers."""
    plan = _linked_plan(request, services)
    return EventStream(lambda on_outcome: _answer(request, services, plan, on_outcome=on_outcome), trace_id(request))


def _linked_plan(request: AnyRequest, services: Services) -> SearchPlan:
    return services.rules.plan_parameters(parse_parameters(request.scope["query_string"]))


async def _answer(
    request: AnyRequest, services: Services, plan: SearchPlan, *, on_outcome: OnOutcome = nobody
) -> SearchResponse:
    began = time.monotonic()
    try:
        response = await services.searcher.search(plan, client(request), trace_id(request), on_outcome=on_outcome)
    except EmbedSearchError as exc:
        services.search_log.failed(plan, exc, time.monotonic() - began)
        raise
    except asyncio.CancelledError:
        services.search_log.abandoned(plan, time.monotonic() - began)
        raise
    services.search_log.answered(plan, response)
    services.sampling.note(plan.query)
    return response
