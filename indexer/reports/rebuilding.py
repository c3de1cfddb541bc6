"""What came of a rebuild: what the gate found, and whether the new generation is live."""

import msgspec

from indexer.reports.comparison import IndexComparison


class GoldenResult(msgspec.Struct, frozen=True):
    """What the queries gave.

    Attributes:
        queries: how many were asked.
        overlap: mean share of the live generation's best ten that the new one has among its best ten, 0 to 1.
        judged: how many had judgments.
        live_ndcg: mean nDCG@10 of the live generation over those.
        new_ndcg: of the new one.
        live_ms: median latency of the live generation.
        new_ms: of the new one.
    """

    queries: int
    overlap: float
    judged: int
    live_ndcg: float
    new_ndcg: float
    live_ms: float
    new_ms: float


class Verdict(msgspec.Struct, frozen=True):
    """What the gate found.

    Attributes:
        comparison: of the new generation with the topic.
        golden: of it with the live generation; None where there were no queries, or the live one does not answer.
        reasons: why it is refused; empty when it may pass.
        notes: what was not looked at, and why.
    """

    comparison: IndexComparison
    golden: GoldenResult | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it may go live."""
        return not self.reasons


class RebuildOutcome(msgspec.Struct, frozen=True):
    """What came of a rebuild.

    Attributes:
        index: its name.
        generation: that was built.
        promoted: whether it is live now.
        former: the generation that was live before.
        verdict: of the gate.
        seconds: that it took, of this run.
    """

    index: str
    generation: str
    promoted: bool
    former: str
    verdict: Verdict
    seconds: float
