"""`/admin/indexes`: every index with its generations, and the operator's word on which of them is live."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from litestar import get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from api.errors import IndexUnavailable, InvalidRequest, NoSuchItem
from api.messages.administered import IndexesResponse, SwapResponse
from api.messages.administration import PromoteRequest, RollbackRequest
from api.operating.reports import index_report
from api.routes.requests import ANSWERED_ALWAYS, AnyRequest, ServicesDependency, caller, read_json
from api.services import Services
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from indexer.rebuild.phases import GenerationInfo
from indexer.rebuild.swapping import previous_generation, promotable

_MAX_BYTES: Final = 4_096
_LOOK_SECONDS: Final = 10.0


@get("/admin/indexes", opt=ANSWERED_ALWAYS)
async def list_indexes(services: ServicesDependency) -> IndexesResponse:
    """What each index holds, how far it has read, and which generations it has."""
    state = await services.probe.state()
    breakers = {method: breaker.report() for method, breaker in services.breakers.items()}
    return IndexesResponse(
        {
            name: index_report(name, state, breakers.get(name), attended=await services.jobs.attended(name))
            for name in services.settings.indexes
        }
    )


@post("/admin/indexes/{index:str}/promote", status_code=200)
async def promote_generation(request: AnyRequest, services: ServicesDependency, index: FromPath[str]) -> SwapResponse:
    """Put a generation live."""
    asked = await read_json(request, PromoteRequest, _MAX_BYTES)
    known = await _generations(services, index)
    if asked.generation is not None and all(each.name != asked.generation for each in known):
        raise NoSuchItem(f"{index} has no generation {asked.generation!r}")
    return await _swap(request, services, index, promotable(index, known, asked.generation))


@post("/admin/indexes/{index:str}/rollback", status_code=200)
async def roll_back(request: AnyRequest, services: ServicesDependency, index: FromPath[str]) -> SwapResponse:
    """Put the previous generation live again."""
    await read_json(request, RollbackRequest, _MAX_BYTES)
    return await _swap(request, services, index, previous_generation(index, await _generations(services, index)))


def check_run_here(indexes: Iterable[str], services: Services) -> None:
    """See whether all indexes that a request names are run here.

    Raises:
        InvalidRequest: one is not.
    """
    run = services.settings.indexes
    for index in indexes:
        if index not in run:
            raise InvalidRequest("indexes", f"{index} is not run here; the indexes are {', '.join(run)}")


async def _generations(services: Services, index: str) -> Sequence[GenerationInfo]:
    """As they are now: what was seen a second ago may name another one to go back to."""
    if index not in services.settings.indexes:
        raise NotFoundException
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await services.generations[index](Deadline.after(_LOOK_SECONDS))
    except (IndexFault, TimeoutError) as exc:
        raise IndexUnavailable(index, str(exc) or "its generations cannot be looked up in time") from exc


async def _swap(request: AnyRequest, services: Services, index: str, generation: str) -> SwapResponse:
    swap = await services.jobs.swap(index, generation, caller(request))
    return SwapResponse(swap.index, swap.live, swap.previous)
