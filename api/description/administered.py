"""The examples of what operators do over HTTP."""

from typing import Final

import msgspec

from api.backends.breaker import BreakerReport
from api.messages.administered import (
    DeadLetterReport,
    DeadLetterResponse,
    DeadLettersResponse,
    GenerationReport,
    IndexesResponse,
    IndexReport,
    LetterSource,
    OtherRebuild,
    PurgeResponse,
    RebuildProgress,
    RebuildReport,
    RebuildsResponse,
    ReplayResponse,
    ResumeResponse,
    SkippedReport,
    SwapResponse,
    VerificationReport,
    VerificationsResponse,
)
from api.messages.administration import (
    JudgedQuery,
    PromoteRequest,
    RebuildRequest,
    ReplayRequest,
    ResumeRequest,
    RollbackRequest,
    VerifyRequest,
)
from indexer.jobs.job import JobState
from indexer.rebuild.options import GateBounds
from indexer.rebuild.phases import Phase
from indexer.reports.comparison import Fault, Faults, IndexComparison
from indexer.reports.rebuilding import GoldenResult, RebuildOutcome, Verdict

_ID: Final = "1767225600000-5f0c2a9e"
_TIME: Final = 1_767_225_600.0
_CALLER: Final = "3f9a0c11d2e4"
_TRACE: Final = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

PROGRESS: Final = RebuildProgress(
    working=True,
    step="replay",
    read=600_000,
    total=1_000_000,
    per_second=8_000.0,
    seconds_left=50.0,
    started_at=_TIME,
    told_at=_TIME + 75,
    reasons=(),
)

INDEXES: Final = IndexesResponse(
    {
        "bm25": IndexReport(
            live=GenerationReport("g000002", Phase.LIVE, "format 4, analyzer english", int(_TIME), None),
            previous=GenerationReport("g000001", Phase.PREVIOUS, "format 3, analyzer english", int(_TIME), None),
            candidates=[GenerationReport("g000003", Phase.REPLAYING, "format 4, analyzer german", None, PROGRESS)],
            documents=1_400,
            size_bytes=2_097_152,
            watermark={"documents": {"0": 1_400}},
            lag={"0": 0},
            lag_seconds=12.5,
            breaker=BreakerReport("closed"),
            attended=True,
        )
    }
)

PROMOTE: Final = PromoteRequest("g000003")
ROLLBACK: Final = RollbackRequest()
SWAPPED: Final = SwapResponse("bm25", "g000003", "g000002")

REBUILD: Final = RebuildRequest(["bm25"], promote="manual", golden=[JudgedQuery("wing flutter", {"doc-17": 3})])

_ORDERED: Final = RebuildReport(
    id=_ID,
    index="bm25",
    state=JobState.WAITING,
    cancelling=False,
    ordered_at=_TIME,
    ordered_by=_CALLER,
    began_at=None,
    ended_at=None,
    attempts=0,
    message="",
    promote="manual",
    bounds=GateBounds(),
    golden_queries=1,
)

REBUILD_DONE: Final = msgspec.structs.replace(
    _ORDERED,
    state=JobState.DONE,
    began_at=_TIME + 1,
    ended_at=_TIME + 130,
    attempts=1,
    outcome=RebuildOutcome(
        "bm25",
        "g000003",
        promoted=False,
        former="g000002",
        verdict=Verdict(IndexComparison("bm25", 1_400), GoldenResult(1, 0.9, 1, 0.71, 0.74, 0.3, 0.3), (), ()),
        seconds=129.0,
    ),
)

REBUILD_CANCELLED: Final = msgspec.structs.replace(_ORDERED, state=JobState.CANCELLED, ended_at=_TIME + 3)

ORDERED: Final = RebuildsResponse([_ORDERED])
REBUILDS: Final = RebuildsResponse([REBUILD_DONE], [OtherRebuild("native", "g000002", PROGRESS)])

VERIFY: Final = VerifyRequest(["bm25"], repair=True)

VERIFIED: Final = VerificationReport(
    id=_ID,
    index="bm25",
    state=JobState.DONE,
    cancelling=False,
    ordered_at=_TIME,
    ordered_by=_CALLER,
    began_at=_TIME + 1,
    ended_at=_TIME + 4,
    attempts=1,
    message="",
    repair=False,
    deep=False,
    sound=False,
    comparison=IndexComparison("bm25", 1_399, missing=Faults(1, [Fault("a/b.txt", topic="0:1233")])),
)

VERIFICATIONS: Final = VerificationsResponse([VERIFIED])

_LETTER: Final = DeadLetterReport(
    position="0:41",
    time="2026-01-01T00:00:00.000+00:00",
    index="*",
    error="not-json",
    reason="the value is not JSON",
    attempts=1,
    source=LetterSource("documents", 0, 1_233),
    key="a/b.txt",
    bytes=9,
    trace=_TRACE,
)

LETTERS: Final = DeadLettersResponse([_LETTER], "0:41")

LETTER: Final = DeadLetterResponse(**msgspec.structs.asdict(_LETTER), value="{not json", omitted="")

REPLAY: Final = ReplayRequest(["0:41"])
REPLAYED: Final = ReplayResponse(
    ["0:41"], 0, [SkippedReport("0:40", "its document has a newer version")], dry_run=False
)
PURGED: Final = PurgeResponse(42)
RESUME: Final = ResumeRequest(["bm25"])
RESUMED: Final = ResumeResponse(["bm25"], {"0": 1_234})
