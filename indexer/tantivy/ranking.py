"""The best hits of a Tantivy query, ties in the order of ids.

Tantivy breaks ties by where a document happens to lie, which changes with every merge. So hits that tie with the last
one are read too, before the cut, down to a depth that is the same for every limit: pages then agree with each other
whatever their size, even where more documents tie than are worth reading.
"""

from typing import Final

import tantivy

from indexer.backend import Hit
from indexer.errors import InvalidQuery
from indexer.tantivy.hit_ids import HitIds

MAX_LIMIT: Final = 10_000
TIE_DEPTH: Final = 16_384


def best_hits(
    searcher: tantivy.Searcher, ids: HitIds, query: tantivy.Query, limit: int, *, order_by: str | None = None
) -> tuple[int, list[Hit]]:
    """How many documents match, and the best of them, best first.

    Args:
        searcher: the snapshot to ask.
        ids: of its generation.
        query: what to look for.
        limit: how many hits to return at most.
        order_by: a fast field whose value is the score, in place of relevance.

    Raises:
        InvalidQuery: the limit is out of bounds; beyond them Tantivy panics or takes all memory.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit must be 1 to {MAX_LIMIT}, got {limit}")
    depth = limit + 1
    while True:
        result = searcher.search(query, limit=depth, order_by_field=order_by)
        hits = result.hits
        complete = len(hits) < depth or hits[-1][0] < hits[limit - 1][0]
        if complete or depth >= TIE_DEPTH:
            break
        depth = min(depth * 8, TIE_DEPTH)
    cut = hits[min(limit, len(hits)) - 1][0] if hits else 0.0
    kept = [(-float(score), address) for score, address in hits if score >= cut]
    names = ids.of(searcher, [address for _, address in kept])
    ranked = sorted((negated, name) for (negated, _), name in zip(kept, names, strict=True))
    return _total(result), [Hit(name, -negated) for negated, name in ranked[:limit]]


def _total(result: tantivy.SearchResult) -> int:
    return int(result.count)  # type: ignore[attr-defined]  # the stub leaves this property out
