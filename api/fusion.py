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
from typing import Final, Literal, overload

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
    """One document of the fused order.

    Attributes:
        id: of the document.
        score: the fused one.
        methods: what each method says of it that found it.
        passage: characters of the body that matched best, as (start, end), where a method knows.
    """

    id: DocumentId
    score: float
    methods: Mapping[str, Contribution]
    passage: tuple[int, int] | None = None


_Place = tuple[str, int, Hit, float]
"""Of a document in a ranking: the method, the rank from 1, the hit, and its part of the fused score."""

_Placed = tuple[float, DocumentId, list[_Place]]
"""A document in the order: its score with the sign turned, so that plain tuples are in the order of the list."""


class FusedOrder(Sequence[FusedHit]):
    """All documents of a fused order, of which only those are written out that are asked for: a page of hundreds.

    Args:
        placed: the documents, in their order.
    """

    def __init__(self, placed: Sequence[_Placed]) -> None:
        self._placed = placed

    def __len__(self) -> int:
        return len(self._placed)

    @overload
    def __getitem__(self, index: int) -> FusedHit: ...

    @overload
    def __getitem__(self, index: slice) -> list[FusedHit]: ...

    def __getitem__(self, index: int | slice) -> FusedHit | list[FusedHit]:
        if isinstance(index, slice):
            return [_written_out(placed) for placed in self._placed[index]]
        return _written_out(self._placed[index])


def depth_for(end: int) -> int:
    """How many hits to ask of each method for a page that ends at place `end` of the fused order."""
    return next((tier for tier in TIERS if tier >= end), TIERS[-1])


def fuse(rankings: Rankings, rule: FusionRule) -> FusedOrder:
    """Order all documents of the rankings, best first; ties are ordered by id, ascending.

    Args:
        rankings: hits by method, best first, each at most as deep as the deepest tier.
        rule: how to fuse.
    """
    order: list[_Placed] = []
    known: set[DocumentId] = set()
    deepest = max(map(len, rankings.values()), default=0)
    for tier in TIERS[: TIERS.index(depth_for(deepest)) + 1]:
        placed = _fuse_tier({method: hits[:tier] for method, hits in rankings.items()}, rule)
        order += [one for one in placed if one[1] not in known] if known else placed
        known.update(one[1] for one in placed)
    return FusedOrder(order)


def _fuse_tier(rankings: Rankings, rule: FusionRule) -> list[_Placed]:
    places: dict[DocumentId, list[_Place]] = {}
    for method, hits in rankings.items():
        for rank, (hit, part) in enumerate(zip(hits, _parts(method, hits, rule), strict=True), start=1):
            places.setdefault(hit.id, []).append((method, rank, hit, part))
    # An exactly rounded sum does not depend on the order of the methods: equal documents tie, and ids decide.
    return sorted((-fsum([part for _, _, _, part in of_one]), name, of_one) for name, of_one in places.items())


def _written_out(placed: _Placed) -> FusedHit:
    turned, document_id, places = placed
    methods = {method: Contribution(rank, hit.score, part) for method, rank, hit, part in places}
    passages = [hit.passage for _, _, hit, _ in places if hit.passage is not None]
    return FusedHit(document_id, -turned, methods, passages[-1] if passages else None)


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
