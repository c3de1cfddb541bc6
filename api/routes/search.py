"""`POST /search` and `GET /search`."""

from typing import Final

from litestar import get, post

from api.body import decode_json, read_body
from api.parameters import SearchRequest, parse_parameters
from api.responses import SearchResponse
from api.routes.requests import AnyRequest, ServicesDependency, body_chunks, trace_id

MAX_SEARCH_BYTES: Final = 65_536


@post("/search", status_code=200)
async def search(request: AnyRequest, services: ServicesDependency) -> SearchResponse:
    """Search with all options."""
    body = await read_body(body_chunks(request), MAX_SEARCH_BYTES)
    plan = services.rules.plan(decode_json(body, SearchRequest))
    return await services.searcher.search(plan, trace_id(request))


@get("/search")
async def search_by_link(request: AnyRequest, services: ServicesDependency) -> SearchResponse:
    """Search by a link; without `q`, the newest documents."""
    plan = services.rules.plan_parameters(parse_parameters(request.scope["query_string"]))
    return await services.searcher.search(plan, trace_id(request))
