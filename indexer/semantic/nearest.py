"""The documents whose passages are nearest to a vector.

However many hits are asked for, the scan is the same and only goes on further, so that a larger page begins with the
smaller one: `ef_search` is fixed, the iterative scan goes on in strict order, and whether the index is used
depends on the size of the table alone.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.backend import Hit
from indexer.semantic.schema import SemanticGeneration
from streams.document import DocumentId

MAX_LIMIT: Final = 10_000
MIN_CANDIDATES: Final = 256
MAX_CANDIDATES: Final = 65_536

_EXACT_BELOW_BYTES: Final = 16 * 1024 * 1024
"""Below some 16,000 passages reading them all takes a few milliseconds and finds everything."""

_EF_SEARCH: Final = 200
_MAX_SCAN_TUPLES: Final = 100_000


async def nearest_documents(
    connection: Any,  # noqa: ANN401 - asyncpg ships no types
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
) -> tuple[int, list[Hit]]:
    """How many candidates there are, and the best `limit` of them, ties in the order of ids.

    Args:
        connection: inside a transaction.
        generation: what to search.
        vector: shape (dimensions,), float32, unit length.
        limit: hits at most.

    Returns:
        The count and the hits; a score is the cosine similarity of the best passage, -1 to 1.
    """
    await _plan(connection, generation)
    depth = MIN_CANDIDATES
    while depth < 2 * limit:
        depth *= 2
    while True:
        rows = await connection.fetch(_sql(generation, depth), vector)
        ranked = _best_passages(rows)
        # What ties with the last hit must have been seen too, or the order of ids would depend on the limit.
        settled = len(ranked) > limit and rows[-1]["distance"] > 1 - ranked[limit - 1].score
        if settled or len(rows) < depth or depth >= MAX_CANDIDATES:
            return len(ranked), ranked[:limit]
        depth *= 2


async def _plan(connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - see above
    size = await connection.fetchval("SELECT pg_relation_size($1::regclass)", generation.passages)
    settings = {
        "enable_indexscan": "off" if size < _EXACT_BELOW_BYTES else "on",
        "enable_seqscan": "on" if size < _EXACT_BELOW_BYTES else "off",
        "plan_cache_mode": "force_custom_plan",  # a cached plan would outlive the two settings above
        "hnsw.ef_search": _EF_SEARCH,
        "hnsw.iterative_scan": "strict_order",
        "hnsw.max_scan_tuples": _MAX_SCAN_TUPLES,
    }
    await connection.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


def _sql(generation: SemanticGeneration, depth: int) -> str:
    return (
        f"SELECT document_id, body_start, body_end, embedding <=> $1 AS distance FROM {generation.passages}"  # noqa: S608 - a validated name
        f" ORDER BY embedding <=> $1 LIMIT {depth}"
    )


def _best_passages(rows: list[Any]) -> list[Hit]:
    best: dict[str, Any] = {}
    for row in rows:
        known = best.get(row["document_id"])
        # Of passages that say the same, the first in the body.
        if known is None or (row["distance"], row["body_start"]) < (known["distance"], known["body_start"]):
            best[row["document_id"]] = row
    return sorted(map(_hit, best.values()), key=lambda hit: (-hit.score, hit.id))


def _hit(row: Any) -> Hit:  # noqa: ANN401 - asyncpg ships no types
    passage = (row["body_start"], row["body_end"]) if row["body_end"] else None  # None: it was the title
    return Hit(DocumentId(row["document_id"]), 1 - row["distance"], passage)
