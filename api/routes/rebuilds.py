"""`/admin/rebuilds`: order a new generation of indexes, see how far it is, and take the order back."""

from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath

from api.errors import InvalidRequest, NoSuchItem
from api.messages.administered import RebuildReport, RebuildsResponse
from api.messages.administration import RebuildRequest
from api.operating.reports import Catalogued, other_rebuilds, rebuild_report
from api.routes.indexes import check_run_here
from api.routes.requests import ANSWERED_ALWAYS, AnyRequest, ServicesDependency, caller, read_json
from api.services import Services
from api.state.system import SystemState
from indexer.jobs.job import Job, RebuildOrder
from indexer.rebuild.options import GateBounds, GoldenQuery

_MAX_BYTES: Final = 4 << 20


@post("/admin/rebuilds", status_code=202)
async def order_rebuilds(request: AnyRequest, services: ServicesDependency) -> RebuildsResponse:
    """Build indexes anew."""
    asked = await read_json(request, RebuildRequest, _MAX_BYTES)
    order = _order(asked)
    check_run_here(asked.indexes, services)
    jobs = await services.jobs.order(dict.fromkeys(asked.indexes, order), caller(request))
    return RebuildsResponse(_reports(services, jobs, await services.probe.state()))


@get("/admin/rebuilds", opt=ANSWERED_ALWAYS)
async def list_rebuilds(services: ServicesDependency) -> RebuildsResponse:
    """All that are known."""
    state, jobs = await services.probe.state(), await services.jobs.jobs("rebuild")
    return RebuildsResponse(
        _reports(services, jobs, state), other_rebuilds(jobs, state.generations, state.now_ms / 1_000)
    )


@get("/admin/rebuilds/{job:str}", opt=ANSWERED_ALWAYS)
async def get_rebuild(services: ServicesDependency, job: FromPath[str]) -> RebuildReport:
    """One of them."""
    return await _one(services, job, await services.jobs.job("rebuild", job))


@delete("/admin/rebuilds/{job:str}", status_code=200)
async def cancel_rebuild(services: ServicesDependency, job: FromPath[str]) -> RebuildReport:
    """Have one end."""
    return await _one(services, job, await services.jobs.cancel("rebuild", job))


def _order(asked: RebuildRequest) -> RebuildOrder:
    for number, each in enumerate(asked.golden):
        if not each.query.strip():
            raise InvalidRequest(f"golden[{number}].query", "must not be blank")
    return RebuildOrder(
        promote=asked.promote,
        bounds=GateBounds(asked.min_overlap, asked.max_ndcg_drop, asked.max_latency_ratio),
        golden=tuple(GoldenQuery(each.query, each.relevant) for each in asked.golden),
        sample=asked.sample,
    )


async def _one(services: Services, name: str, job: Job | None) -> RebuildReport:
    if job is None:
        raise NoSuchItem(f"there is no rebuild {name[:64]!r}")
    (report,) = _reports(services, [job], await services.probe.state())
    return report


def _reports(services: Services, jobs: list[Job], state: SystemState) -> list[RebuildReport]:
    now = state.now_ms / 1_000
    unknown: Catalogued = ()
    return [
        rebuild_report(
            job,
            job.order,
            state.generations.get(job.index, unknown),
            now,
            cancelling=services.jobs.cancelling("rebuild", job),
        )
        for job in jobs
        if isinstance(job.order, RebuildOrder)
    ]
