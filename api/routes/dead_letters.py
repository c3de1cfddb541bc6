"""`/admin/dead-letters`: the records that could not be indexed, why, and the way back for them."""

from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath

from api.errors import InvalidRequest
from api.messages.administered import (
    DeadLetterResponse,
    DeadLettersResponse,
    PurgeResponse,
    ReplayResponse,
    ResumeResponse,
)
from api.messages.administration import DeadLetterParameters, PurgeParameters, ReplayRequest, ResumeRequest
from api.messages.parameters import read_query
from api.routes.indexes import check_run_here
from api.routes.requests import AnyRequest, ServicesDependency, read_json
from streams.dead_letter_log import LetterPosition

_MAX_BYTES: Final = 1 << 20


@get("/admin/dead-letters")
async def list_dead_letters(request: AnyRequest, services: ServicesDependency) -> DeadLettersResponse:
    """The newest of them, or a page of older ones."""
    return await services.letters.page(read_query(request.scope["query_string"], DeadLetterParameters))


@get("/admin/dead-letters/{position:str}")
async def get_dead_letter(services: ServicesDependency, position: FromPath[str]) -> DeadLetterResponse:
    """One of them, with its value, its reason and its trace."""
    try:
        place = LetterPosition.parse(position)
    except ValueError as exc:
        raise InvalidRequest("position", str(exc)) from exc
    return await services.letters.letter(place)


@post("/admin/dead-letters/replay", status_code=200)
async def replay_dead_letters(request: AnyRequest, services: ServicesDependency) -> ReplayResponse:
    """Publish some or all again, never over a newer version."""
    return await services.letters.replay(await read_json(request, ReplayRequest, _MAX_BYTES))


@delete("/admin/dead-letters", status_code=200)
async def purge_dead_letters(request: AnyRequest, services: ServicesDependency) -> PurgeResponse:
    """Delete some or all for good."""
    return await services.letters.purge(read_query(request.scope["query_string"], PurgeParameters))


@post("/admin/dead-letters/resume", status_code=200)
async def resume_indexers(request: AnyRequest, services: ServicesDependency) -> ResumeResponse:
    """Have indexers read on that stopped because too many records are bad."""
    asked = await read_json(request, ResumeRequest, _MAX_BYTES)
    check_run_here(asked.indexes or (), services)
    indexes = list(dict.fromkeys(asked.indexes or services.settings.indexes))
    order = await services.letters.resume(indexes)
    return ResumeResponse(indexes, {str(partition): offset for partition, offset in sorted(order.through.items())})
