"""Fuses the rankings of the search methods into one order.

`rrf` is weighted reciprocal rank fusion, the sum of weight / (k + rank) over the methods (Cormack, Clarke and
Büttcher, SIGIR 2009); `linear` is the sum of weight * score, scores scaled to 0..1 within each ranking.

Pages must neither overlap nor skip, but a document's fused score depends on how deep the rankings reach, and a first
page must not cost ten thousand hits of each method. So the order is made in tiers: first the documents that some
method has among its best 200, scored by those hits alone; then those that appear among the best 2,000; then the rest.
A tier is the same however much deeper was asked, and so is the order up to its end.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Final, Literal

import msgspec

from indexer.backend import Hit
from streams.document import DocumentId

FusionKind = Literal["rrf", "linear"]
Rankings = Mapping[str, Sequence[Hit]]

TIERS: Final = (200, 2_000, 10_000)
"""How deep the rankings are read, by how far into the fused order a page lies."""

DEFAULT_K: Final = 60

DEFAULT_WEIGHTS: Final[Mapping[str, float]] = {"bm25": 1.0, "tantivy": 0.5, "native": 1.0, "semantic": 2.0}
"""What each method counts for when the request does not say. bm25 and tantivy read a query much alike, so that with
equal weights words would count twice and meaning once; see docs/relevance.md and `infra/evaluation/tune.py`."""


class FusionRule(msgspec.Struct, frozen=True):
    """How to fuse.

    Attributes:
        kind: `rrf` or `linear`.
        k: the larger, the less the first ranks stand out; for `rrf` only.
        weights: by method.
    """

    kind: FusionKind = "rrf"
    k: int = DEFAULT_K
    weights: Mapping[str, float] = msgspec.field(default_factory=lambda: DEFAULT_WEIGHTS)

    def weight(self, method: str) -> float:
        """What a method counts for."""
        return self.weights.get(method, DEFAULT_WEIGHTS.get(method, 1.0))


class Contribution(msgspec.Struct, frozen=True):
    """What one method says about one document.

    Attributes:
        rank: place in the method's own ranking, from 1.
        score: the method's own.
        contribution: its part of the fused score.
    """

    rank: int
    score: float
    contribution: float


class FusedHit(msgspec.Struct, frozen=True):
    """One document of the fused order."""

    id: DocumentId
    score: float
    methods: Mapping[str, Contribution]


def depth_for(end: int) -> int:
    """How many hits to ask of each method for a page that ends at place `end` of the fused order."""
    return next((tier for tier in TIERS if tier >= end), TIERS[-1])


def fuse(rankings: Rankings, rule: FusionRule) -> list[FusedHit]:
    """Order all documents of the rankings, best first; ties are ordered by id, ascending.

    Args:
        rankings: hits by method, best first, each at most as deep as the deepest tier.
        rule: how to fuse.
    """
    order: list[FusedHit] = []
    placed: set[DocumentId] = set()
    deepest = max(map(len, rankings.values()), default=0)
    for tier in TIERS[: TIERS.index(depth_for(deepest)) + 1]:
        reached = {method: hits[:tier] for method, hits in rankings.items()}
        hits = [hit for hit in _fuse_tier(reached, rule) if hit.id not in placed]
        order += hits
        placed.update(hit.id for hit in hits)
    return order


def _fuse_tier(rankings: Rankings, rule: FusionRule) -> list[FusedHit]:
    contributions: dict[DocumentId, dict[str, Contribution]] = {}
    for method, hits in rankings.items():
        for rank, (hit, part) in enumerate(zip(hits, _parts(method, hits, rule), strict=True), start=1):
            contributions.setdefault(hit.id, {})[method] = Contribution(rank, hit.score, part)
    fused = [
        # An exactly rounded sum does not depend on the order of the methods: equal documents tie, and ids decide.
        FusedHit(document_id, fsum(method.contribution for method in methods.values()), methods)
        for document_id, methods in contributions.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.id))


def _parts(method: str, hits: Sequence[Hit], rule: FusionRule) -> list[float]:
    weight = rule.weight(method)
    if rule.kind == "rrf":
        return [weight / (rule.k + rank) for rank in range(1, len(hits) + 1)]
    return [weight * scaled for scaled in _scaled([hit.score for hit in hits])]


def _scaled(scores: Sequence[float]) -> list[float]:
    """Scores stretched to 0..1; all 1 where they are equal."""
    if not scores:
        return []
    low, high = min(scores), max(scores)
    spread = high - low
    return [(score - low) / spread if spread > 0 else 1.0 for score in scores]
