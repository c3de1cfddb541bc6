"""What a job is, and how far it is."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from indexer.rebuild.options import GateBounds, GoldenQuery, Promotion
from indexer.rebuild.swapping import Swap
from indexer.reports.comparison import IndexComparison
from indexer.reports.files import FilesReport
from indexer.reports.rebuilding import RebuildOutcome

Kind = Literal["swap", "rebuild", "verification"]
KINDS: Final[tuple[Kind, ...]] = ("swap", "rebuild", "verification")
"""One job of each kind is carried out at a time, so that what they take from searches does not add up."""

GOLDEN_QUERIES: Final = 1_000
"""That an order may have with it."""


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class PromoteOrder(msgspec.Struct, frozen=True, tag="promote"):
    """Put a generation live; going back is that too."""

    generation: str


class RebuildOrder(msgspec.Struct, frozen=True, tag="rebuild"):
    """Build the index anew.

    Attributes:
        promote: whether to put it live at once.
        bounds: of the gate.
        golden: queries for the gate.
        sample: whether recent searches are asked where there are none.
    """

    promote: Promotion = "auto"
    bounds: GateBounds = GateBounds()
    golden: tuple[GoldenQuery, ...] = ()
    sample: bool = True


class VerificationOrder(msgspec.Struct, frozen=True, tag="verification"):
    """Compare the index with the topic, or check its files.

    Attributes:
        repair: have its indexer put right what is found.
        deep: check the files instead.
        patience: seconds to wait for the indexer to take up a repair.
        sample: documents to score.
        shown: faults of each class to name.
    """

    repair: bool = False
    deep: bool = False
    patience: float = 300.0
    sample: int = 100
    shown: int = 10


Order = PromoteOrder | RebuildOrder | VerificationOrder


def kind_of(order: Order) -> Kind:
    """The kind of job that an order makes."""
    if isinstance(order, PromoteOrder):
        return "swap"
    return "rebuild" if isinstance(order, RebuildOrder) else "verification"


class JobReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a job; of what it was about, one is there.

    Attributes:
        swap: which generation is live now.
        rebuild: what was built, and what the gate said.
        comparison: of the index with the topic.
        files: of the index.
    """

    swap: Swap | None = None
    rebuild: RebuildOutcome | None = None
    comparison: IndexComparison | None = None
    files: FilesReport | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was found that should not be."""
        if self.rebuild is not None:
            return self.rebuild.verdict.passed
        if self.comparison is not None:
            return self.comparison.sound
        return self.files is None or self.files.sound


class Job(msgspec.Struct, frozen=True):
    """One job, as its file has it.

    Attributes:
        id: names it, and sorts by the time when it was ordered.
        index: that it is about.
        order: what is to be done.
        ordered_at: seconds since the epoch.
        ordered_by: the prefix of the key, or `anonymous`.
        state: how far it is.
        began_at: when it was first taken up.
        ended_at: when it ended.
        attempts: how often it was taken up; it is again when whoever carried it out died.
        message: why it failed, or was given back.
        report: what came of it.
    """

    id: str
    index: str
    order: Order
    ordered_at: float
    ordered_by: str = ""
    state: JobState = JobState.WAITING
    began_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    message: str = ""
    report: JobReport | None = None

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return kind_of(self.order)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be done."""
        return self.state in ENDED
