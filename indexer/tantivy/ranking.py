"""The best hits of a Tantivy query, ties in the order of ids.

Tantivy breaks ties by where a document happens to lie, which changes with every merge. So hits that tie with the last
one are read too, before the cut, down to a depth that is the same for every limit: pages then agree with each other
whatever their size, even where more documents tie than are worth reading.
"""

from typing import Final

import tantivy

from indexer.errors import InvalidQuery
from indexer.tantivy.schema import ID

MAX_LIMIT: Final = 10_000
TIE_DEPTH: Final = 16_384


def best_hits(
    searcher: tantivy.Searcher, query: tantivy.Query, limit: int, *, order_by: str | None = None
) -> tuple[int, list[tuple[str, float]]]:
    """How many documents match, and the best of them as (id, score), best first.

    Args:
        searcher: the snapshot to ask.
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
        hits = [(float(score), address) for score, address in result.hits]
        complete = len(hits) < depth or hits[-1][0] < hits[limit - 1][0]
        if complete or depth >= TIE_DEPTH:
            break
        depth = min(depth * 8, TIE_DEPTH)
    cut = hits[min(limit, len(hits)) - 1][0] if hits else 0.0
    named = [(_id(searcher, address), score) for score, address in hits if score >= cut]
    named.sort(key=lambda hit: (-hit[1], hit[0]))
    return _total(result), named[:limit]


def _id(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> str:
    return str(searcher.doc(address)[ID][0])


def _total(result: tantivy.SearchResult) -> int:
    return int(result.count)  # type: ignore[attr-defined]  # the stub leaves this property out
