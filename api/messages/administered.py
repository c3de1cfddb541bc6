"""What `/admin/indexes`, `/admin/rebuilds`, `/admin/verify` and `/admin/dead-letters` answer."""

import msgspec

from api.backends.breaker import BreakerReport
from indexer.jobs.job import JobState
from indexer.rebuild.options import GateBounds, Promotion
from indexer.rebuild.phases import Phase, Step
from indexer.reports.comparison import IndexComparison
from indexer.reports.files import FilesReport
from indexer.reports.rebuilding import RebuildOutcome


class RebuildProgress(msgspec.Struct, frozen=True):
    """How far a rebuild is, in its own words.

    Attributes:
        working: whether it has said so lately; if not, it was killed, and the next one goes on.
        step: what it does: replay, gate or catch-up; empty at the end.
        read: offsets that it has read.
        total: offsets that there were to read.
        per_second: offsets that it reads in a second, lately; one is about a document.
        seconds_left: how long it will go on reading at this rate.
        started_at: when it began, seconds since the epoch.
        told_at: when it last said so.
        reasons: why the gate refused the generation.
    """

    working: bool
    step: Step
    read: int
    total: int
    per_second: float
    seconds_left: float | None
    started_at: float
    told_at: float
    reasons: tuple[str, ...]


class GenerationReport(msgspec.Struct, frozen=True):
    """One generation of an index.

    Attributes:
        name: of the generation.
        phase: what it is to the system.
        built_with: its settings, in words.
        since: when it was put in its place, or lost it, seconds since the epoch; null for a first one.
        rebuild: how far the rebuild is, or was, that made it; null for one that no rebuild made.
    """

    name: str
    phase: Phase
    built_with: str
    since: int | None
    rebuild: RebuildProgress | None


class IndexReport(msgspec.Struct, frozen=True):
    """One index.

    Attributes:
        live: the generation that searches see.
        previous: the one that a rollback goes back to.
        candidates: those that wait for a promotion, are being filled, or were refused.
        documents: in the live generation; of `semantic`, as they were counted some seconds ago where that takes long.
        size_bytes: of the live generation.
        watermark: how far it has read.
        lag: offsets left to read by partition, an upper bound.
        lag_seconds: age of the last record indexed.
        breaker: of the worker that answers.
        attended: whether an indexer runs here that carries out what is ordered.
        halted: why the indexer reads nothing until somebody has looked.
        error: why the index, or its catalogue of generations, does not answer.
    """

    live: GenerationReport | None
    previous: GenerationReport | None
    candidates: list[GenerationReport]
    documents: int | None
    size_bytes: int | None
    watermark: dict[str, dict[str, int]] | None
    lag: dict[str, int] | None
    lag_seconds: float | None
    breaker: BreakerReport | None
    attended: bool
    halted: str | None = None
    error: str | None = None


class IndexesResponse(msgspec.Struct, frozen=True):
    """All indexes that this system runs, by name."""

    indexes: dict[str, IndexReport]


class SwapResponse(msgspec.Struct, frozen=True):
    """What a swap did.

    Attributes:
        index: its name.
        live: the generation that is live now.
        previous: the one to go back to.
    """

    index: str
    live: str
    previous: str | None


class OrderedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered, and how far it is.

    Attributes:
        id: names it.
        index: that it is about.
        state: how far it is.
        cancelling: whether it was told to end, and has not yet.
        ordered_at: seconds since the epoch.
        ordered_by: prefix of the key, or `anonymous`.
        began_at: when it was taken up.
        ended_at: when it ended.
        attempts: how often it was taken up; again, when whoever carried it out died.
        message: why it failed, or waits again.
    """

    id: str
    index: str
    state: JobState
    cancelling: bool
    ordered_at: float
    ordered_by: str
    began_at: float | None
    ended_at: float | None
    attempts: int
    message: str


class RebuildReport(OrderedJob, frozen=True, kw_only=True):
    """A rebuild that was ordered over HTTP.

    Attributes:
        promote: as it was ordered.
        bounds: of the gate, as they were ordered.
        golden_queries: that came with the order.
        progress: of a rebuild that runs.
        outcome: of one that has ended: the generation, and what the gate found.
    """

    promote: Promotion
    bounds: GateBounds
    golden_queries: int
    progress: RebuildProgress | None = None
    outcome: RebuildOutcome | None = None


class OtherRebuild(msgspec.Struct, frozen=True):
    """A rebuild that was begun on the command line.

    Attributes:
        index: its name.
        generation: that is filled.
        progress: how far it is.
    """

    index: str
    generation: str
    progress: RebuildProgress


class RebuildsResponse(msgspec.Struct, frozen=True):
    """Rebuilds.

    Attributes:
        rebuilds: ordered over HTTP, the newest first; of those that have ended, the last hundred.
        others: that run, and were begun on the command line.
    """

    rebuilds: list[RebuildReport]
    others: list[OtherRebuild] = []


class VerificationReport(OrderedJob, frozen=True, kw_only=True):
    """A verification.

    Attributes:
        repair: as it was ordered.
        deep: as it was ordered.
        sound: whether nothing is wrong, or everything was put right; null while nobody knows.
        comparison: with the topic.
        files: what the check of the files found.
    """

    repair: bool
    deep: bool
    sound: bool | None = None
    comparison: IndexComparison | None = None
    files: FilesReport | None = None


class VerificationsResponse(msgspec.Struct, frozen=True):
    """Verifications, the newest first; of those that have ended, the last hundred."""

    verifications: list[VerificationReport]


class LetterSource(msgspec.Struct, frozen=True):
    """The record that could not be indexed."""

    topic: str
    partition: int
    offset: int


class DeadLetterReport(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, without its value.

    Attributes:
        position: where it lies: partition:offset.
        time: when it was written, RFC 3339.
        index: that could not take it; `*` when none could.
        error: class of the error.
        reason: in words.
        attempts: how often indexing was tried.
        source: the record.
        key: of the record; what is no text is escaped.
        bytes: of its value.
        trace: trace headers of the record.
    """

    position: str
    time: str
    index: str
    error: str
    reason: str
    attempts: int
    source: LetterSource
    key: str | None
    bytes: int
    trace: dict[str, str]


class DeadLettersResponse(msgspec.Struct, frozen=True):
    """Dead letters, the newest first.

    Attributes:
        letters: of this page.
        before: ask for the next page with it; null on the last. A page may be short, or empty, and have a next one.
    """

    letters: list[DeadLetterReport]
    before: str | None


class DeadLetterResponse(DeadLetterReport, frozen=True, kw_only=True):
    """A dead letter.

    Attributes:
        value: of the record; what is no text is escaped.
        omitted: size and hash of a value that was too large to be kept.
    """

    value: str | None
    omitted: str


class SkippedReport(msgspec.Struct, frozen=True):
    """A letter that was not replayed, and why."""

    position: str
    reason: str


class ReplayResponse(msgspec.Struct, frozen=True):
    """What a replay did, or would do.

    Attributes:
        replayed: positions of the letters.
        restored: newer versions that came meanwhile, and were published again to stay the newest.
        skipped: letters left out.
        dry_run: whether nothing was published.
    """

    replayed: list[str]
    restored: int
    skipped: list[SkippedReport]
    dry_run: bool


class PurgeResponse(msgspec.Struct, frozen=True):
    """What was deleted.

    Attributes:
        purged: how many offsets were given up.
    """

    purged: int


class ResumeResponse(msgspec.Struct, frozen=True):
    """What was ordered.

    Attributes:
        indexes: whose indexers read on.
        through: bad records before these offsets, by partition, go to the dead letters.
    """

    indexes: list[str]
    through: dict[str, int]
