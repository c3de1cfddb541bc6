"""The gate: what a new generation must prove before it may go live.

It must hold what the topic says, document by document; and asked the golden queries, it must answer about as the live
generation does, not much worse where there are judgments, and about as fast.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from indexer.errors import IndexFault
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.options import GateBounds
from indexer.reports.comparison import IndexComparison
from indexer.reports.rebuilding import GoldenResult, Verdict
from infra.rebuild.golden import GoldenQueries, ask_both
from infra.verification.address import TopicAddress
from infra.verification.convergence import compare
from streams.settings import Settings, variable

_NAMED: Final = 3
_FLOOR_MS: Final = 5.0
"""What is answered within so much is fast enough, however fast the live generation is."""


class Gate(msgspec.Struct, frozen=True):
    """The gate of one index.

    Attributes:
        index: its name.
        settings: the limits that records are held against.
        address: where the topic is.
        bounds: what is let through.
        golden: what both generations are asked.
        on_step: told what is being done.
    """

    index: str
    settings: Settings
    address: TopicAddress
    bounds: GateBounds
    golden: GoldenQueries
    on_step: Callable[[str], None]

    async def judge(self, catalogue: Catalogue, new: str, live: str) -> Verdict:
        """Judge a generation that nobody writes to now.

        Args:
            catalogue: of the index.
            new: its name.
            live: name of the live one.

        Raises:
            StreamUnavailable: Kafka does not answer.
            IndexFault: the new generation does not answer.
        """
        # Asked first: a comparison takes minutes, in which the live generation changes and this one does not.
        golden, notes = await self._asked(catalogue, new, live)
        comparison = await self._compared(catalogue, new)
        reasons = [*_faults(comparison), *(self._differences(golden) if golden else ())]
        return Verdict(comparison, golden, tuple(reasons), tuple(notes))

    async def _compared(self, catalogue: Catalogue, new: str) -> IndexComparison:
        with tempfile.TemporaryDirectory(prefix="embed-search-rebuild-") as scratch:
            (comparison,) = await compare(
                self.settings,
                self.address,
                [self.index],
                scratch=Path(scratch),
                shown=_NAMED,
                on_step=self.on_step,
                open_dump=lambda _: catalogue.open_dump(new),
            )
        return comparison

    async def _asked(self, catalogue: Catalogue, new: str, live: str) -> tuple[GoldenResult | None, Sequence[str]]:
        queries = self.golden.queries
        if not queries:
            why = "" if self.settings.log_queries else f", and {variable('log_queries')}=false keeps no recent searches"
            return None, [f"no golden queries were given{why}: answers were not compared"]
        notes = [f"asked were {len(queries)} recent searches, as no golden queries were given"] * self.golden.sampled
        self.on_step(f"{self.index}: {len(queries)} golden queries")
        try:
            async with catalogue.open_backend(live) as before, catalogue.open_backend(new) as after:
                return await ask_both(queries, before, after), notes
        except IndexFault as exc:
            async with catalogue.open_backend(new) as after:  # the new one must answer; the live one may be broken
                await ask_both(queries, after, after)
            return None, [f"answers were not compared, because the live generation gives none: {exc}"]

    def _differences(self, golden: GoldenResult) -> Sequence[str]:
        bounds, reasons = self.bounds, []
        if golden.overlap < bounds.min_overlap:
            reasons.append(
                f"its best ten share {golden.overlap:.2f} with the live generation's, less than {bounds.min_overlap}"
            )
        if golden.judged and golden.new_ndcg < golden.live_ndcg - bounds.max_ndcg_drop:
            reasons.append(
                f"its nDCG@10 is {golden.new_ndcg:.3f}, the live generation's {golden.live_ndcg:.3f}:"
                f" more than {bounds.max_ndcg_drop} lower"
            )
        if golden.new_ms > max(_FLOOR_MS, golden.live_ms * bounds.max_latency_ratio):
            reasons.append(
                f"its median query takes {golden.new_ms:.1f} ms, the live generation's {golden.live_ms:.1f} ms:"
                f" more than {bounds.max_latency_ratio} times as long"
            )
        return reasons


def _faults(comparison: IndexComparison) -> Sequence[str]:
    if comparison.reason:
        return [f"it could not be compared with the topic: {comparison.reason}"]
    reasons = []
    for kind in ("missing", "stale", "extra", "different"):
        faults = getattr(comparison, kind)
        if faults.count:
            named = ", ".join(repr(fault.id) for fault in faults.first)
            reasons.append(f"{faults.count} documents are {kind}, such as {named}")
    return reasons
