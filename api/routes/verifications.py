"""`/admin/verify`: hold indexes against the topic, or their files against their checksums."""

from collections.abc import Sequence
from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath

from api.errors import InvalidRequest, NoSuchItem
from api.messages.administered import VerificationReport, VerificationsResponse
from api.messages.administration import VerifyRequest
from api.operating.reports import verification_report
from api.routes.indexes import check_run_here
from api.routes.requests import ANSWERED_ALWAYS, AnyRequest, ServicesDependency, caller, read_json
from api.services import Services
from indexer.jobs.job import Job, VerificationOrder
from indexer.registry import LOCAL_ENGINES
from streams.settings import SEMANTIC

_MAX_BYTES: Final = 4_096


@post("/admin/verify", status_code=202)
async def order_verifications(request: AnyRequest, services: ServicesDependency) -> VerificationsResponse:
    """Verify indexes."""
    asked = await read_json(request, VerifyRequest, _MAX_BYTES)
    indexes = _indexes(asked, services)
    order = VerificationOrder(asked.repair, asked.deep, asked.patience, asked.sample, asked.shown)
    jobs = await services.jobs.order(dict.fromkeys(indexes, order), caller(request))
    return VerificationsResponse(_reports(services, jobs))


@get("/admin/verify", opt=ANSWERED_ALWAYS)
async def list_verifications(services: ServicesDependency) -> VerificationsResponse:
    """All that are known."""
    return VerificationsResponse(_reports(services, await services.jobs.jobs("verification")))


@get("/admin/verify/{job:str}", opt=ANSWERED_ALWAYS)
async def get_verification(services: ServicesDependency, job: FromPath[str]) -> VerificationReport:
    """One of them."""
    return _one(services, job, await services.jobs.job("verification", job))


@delete("/admin/verify/{job:str}", status_code=200)
async def cancel_verification(services: ServicesDependency, job: FromPath[str]) -> VerificationReport:
    """Have one end."""
    return _one(services, job, await services.jobs.cancel("verification", job))


def _indexes(asked: VerifyRequest, services: Services) -> Sequence[str]:
    check_run_here(asked.indexes or (), services)
    if asked.deep and asked.repair:
        raise InvalidRequest("repair", "goes without deep: indexers mend damaged files by themselves")
    if not asked.deep:
        return asked.indexes or services.settings.indexes
    if SEMANTIC in (asked.indexes or ()):
        raise InvalidRequest("indexes", f"{SEMANTIC} has no files of its own for deep: PostgreSQL keeps them")
    local: Sequence[str] = asked.indexes or tuple(name for name in services.settings.indexes if name in LOCAL_ENGINES)
    if not local:
        raise InvalidRequest("deep", "no index with files of its own is run here")
    return local


def _one(services: Services, name: str, job: Job | None) -> VerificationReport:
    if job is None:
        raise NoSuchItem(f"there is no verification {name[:64]!r}")
    (report,) = _reports(services, [job])
    return report


def _reports(services: Services, jobs: list[Job]) -> list[VerificationReport]:
    return [
        verification_report(job, job.order, cancelling=services.jobs.cancelling("verification", job))
        for job in jobs
        if isinstance(job.order, VerificationOrder)
    ]
