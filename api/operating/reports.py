"""What the system knows of generations, rebuilds and verifications, as operators are told."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.backends.breaker import BreakerReport
from api.messages.administered import (
    GenerationReport,
    IndexReport,
    OtherRebuild,
    RebuildProgress,
    RebuildReport,
    VerificationReport,
)
from api.state.lag import told_lag
from api.state.system import SystemState
from indexer.backend import IndexStats
from indexer.jobs.job import Job, JobReport, JobState, RebuildOrder, VerificationOrder
from indexer.rebuild.phases import GenerationInfo, Phase, RebuildRecord, in_phase

Catalogued = Sequence[GenerationInfo] | str
"""The generations of an index, or why they are not known."""


def index_report(name: str, state: SystemState, breaker: BreakerReport | None, *, attended: bool) -> IndexReport:
    """What is known of an index.

    Args:
        name: of the index.
        state: of the system.
        breaker: of its method.
        attended: whether somebody carries out what is ordered.
    """
    stats, catalogued = state.indexes.get(name, "it is not looked at"), state.generations.get(name, ())
    known = () if isinstance(catalogued, str) else catalogued
    faults = [each for each in (stats, catalogued) if isinstance(each, str)]
    seen = stats if isinstance(stats, IndexStats) else None
    now = state.now_ms / 1_000
    return IndexReport(
        live=_first(known, Phase.LIVE, now),
        previous=_first(known, Phase.PREVIOUS, now),
        candidates=[
            generation_report(each, now) for each in in_phase(known, Phase.READY, Phase.REPLAYING, Phase.REFUSED)
        ],
        documents=seen.documents if seen else None,
        size_bytes=seen.size_bytes if seen else None,
        watermark=seen.watermark.public() if seen else None,
        lag=told_lag(state.lag_messages(seen)) if seen else None,
        lag_seconds=state.lag_seconds(seen) if seen else None,
        breaker=breaker,
        attended=attended,
        halted=state.halted.get(name),
        error="; ".join(dict.fromkeys(faults)) or None,
    )


def generation_report(generation: GenerationInfo, now: float) -> GenerationReport:
    """What is known of a generation.

    Args:
        generation: of an index.
        now: seconds since the epoch.
    """
    record = generation.record
    return GenerationReport(
        name=generation.name,
        phase=generation.phase,
        built_with=generation.built_with,
        since=generation.since or None,
        rebuild=None if record is None else progress_of(record, now),
    )


def progress_of(record: RebuildRecord, now: float) -> RebuildProgress:
    """What a rebuild says of itself.

    Args:
        record: kept with the generation that it fills.
        now: seconds since the epoch.
    """
    working = record.works(now)
    return RebuildProgress(
        working=working,
        step=record.step,
        read=record.read,
        total=record.total,
        per_second=record.per_second,
        seconds_left=record.seconds_left if working else None,
        started_at=record.started_at,
        told_at=record.told_at,
        reasons=record.reasons,
    )


def rebuild_report(
    job: Job, order: RebuildOrder, catalogued: Catalogued, now: float, *, cancelling: bool
) -> RebuildReport:
    """What is known of a rebuild that was ordered.

    Args:
        job: as its file has it.
        order: that it is about.
        catalogued: generations of its index.
        now: seconds since the epoch.
        cancelling: whether it was told to end.
    """
    filled = None if job.state is not JobState.RUNNING else _filled(catalogued)
    return RebuildReport(
        **_told(job, cancelling=cancelling),
        promote=order.promote,
        bounds=order.bounds,
        golden_queries=len(order.golden),
        progress=progress_of(filled.record, now) if filled and filled.record else None,
        outcome=(job.report or JobReport()).rebuild,
    )


def other_rebuilds(jobs: Sequence[Job], catalogued: Mapping[str, Catalogued], now: float) -> list[OtherRebuild]:
    """Rebuilds that run and that nobody ordered over HTTP.

    Args:
        jobs: all rebuilds that were ordered.
        catalogued: generations by index.
        now: seconds since the epoch.
    """
    ours = {job.index for job in jobs if job.state is JobState.RUNNING}
    found = [(index, _filled(known)) for index, known in catalogued.items() if index not in ours]
    return [
        OtherRebuild(index, each.name, progress_of(each.record, now))
        for index, each in found
        if each is not None and each.record is not None and each.record.works(now)
    ]


def verification_report(job: Job, order: VerificationOrder, *, cancelling: bool) -> VerificationReport:
    """What is known of a verification.

    Args:
        job: as its file has it.
        order: that it is about.
        cancelling: whether it was told to end.
    """
    return VerificationReport(
        **_told(job, cancelling=cancelling),
        repair=order.repair,
        deep=order.deep,
        sound=None if job.report is None else job.report.passed,
        comparison=(job.report or JobReport()).comparison,
        files=(job.report or JobReport()).files,
    )


def _told(job: Job, *, cancelling: bool) -> dict[str, Any]:
    names = ("id", "index", "state", "ordered_at", "ordered_by", "began_at", "ended_at", "attempts", "message")
    return {name: getattr(job, name) for name in names} | {"cancelling": cancelling}


def _filled(catalogued: Catalogued) -> GenerationInfo | None:
    """The generation that a rebuild fills, if one does."""
    return None if isinstance(catalogued, str) else next(iter(in_phase(catalogued, Phase.REPLAYING)[-1:]), None)


def _first(known: Sequence[GenerationInfo], phase: Phase, now: float) -> GenerationReport | None:
    return next((generation_report(each, now) for each in in_phase(known, phase)), None)
