"""The documents whose passages are nearest to a vector.

However many hits are asked for, the scan is the same and only goes on further, so that a larger page begins with the
smaller one: `ef_search` is fixed, the iterative scan goes on in strict order, and whether the index is used
depends on the size of the table alone.

With a filter, the passages that pass are all compared where they are few. Where they are many, the index is scanned
and what does not pass is skipped; if that ends too soon, they are all compared after all. So there are always as many
hits as asked for, or all documents that pass. What a scan still gives after its end counts for nothing: one hit of ten
was right. It goes in any order, and a larger page may know better, because strict order drops what it meets too late:
of 50,000 passages, 1 % passing, it had a recall@10 of 0.57 where any order had 1.00.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.backend import Hit
from indexer.filtering import EVERYTHING, Filter
from indexer.semantic.conditions import condition, values
from indexer.semantic.passing import few_pass, passing_documents
from indexer.semantic.schema import SemanticGeneration
from streams.document import DocumentId

MAX_LIMIT: Final = 10_000
MIN_CANDIDATES: Final = 256
MAX_CANDIDATES: Final = 65_536

_EXACT_BELOW_BYTES: Final = 16 * 1024 * 1024
"""Below some 16,000 passages reading them all takes a few milliseconds and finds everything."""

_FEW: Final = 1.0
"""So many times the square root of the table's bytes, in passages, are few.

The index reads the more the fewer pass: of 50,000 passages, 10 % passing, it took 77 ms, and comparing all 5,000 took
27 ms. With half of them passing it took 15 ms against 110 ms.
"""

_CUSTOM_PLANS: Final = {"plan_cache_mode": "force_custom_plan"}
"""A cached plan would outlive the other settings, and suit another filter."""

_WHOLE_TABLE: Final = MappingProxyType({"enable_indexscan": "off", "enable_seqscan": "on", **_CUSTOM_PLANS})
_INDEX: Final = MappingProxyType(
    {
        "enable_indexscan": "on",
        "enable_seqscan": "off",
        **_CUSTOM_PLANS,
        "hnsw.ef_search": 200,
        "hnsw.iterative_scan": "strict_order",
        "hnsw.max_scan_tuples": 100_000,
    }
)
_FEW_PASS: Final = MappingProxyType(
    # Before a table was analyzed, its planner would rather read all passages than look up a few.
    {"enable_hashjoin": "off", "enable_mergejoin": "off", **_CUSTOM_PLANS}
)
_MANY_PASS: Final = MappingProxyType(
    {
        "enable_sort": "off",  # the order can come from the index alone
        "enable_seqscan": "off",
        "hnsw.ef_search": 1_000,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": 20_000,  # takes about a second; comparing all that pass is quicker than more of it
        "hnsw.scan_mem_multiplier": 4,  # of `work_mem`, 4 MB: a scan keeps 300 bytes a tuple, and ends without them
    }
)
_ALL_THAT_PASS: Final = MappingProxyType(
    {"enable_sort": "on", "enable_seqscan": "on", "enable_hashjoin": "on", "enable_mergejoin": "on"}
)


async def nearest_documents(
    connection: Any,  # noqa: ANN401 - asyncpg ships no types
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
    *,
    only: Filter = EVERYTHING,
) -> tuple[int, list[Hit]]:
    """How many candidates there are, and the best `limit` of them, ties in the order of ids.

    Args:
        connection: inside a transaction.
        generation: what to search.
        vector: shape (dimensions,), float32, unit length.
        limit: hits at most.
        only: the documents that may be found.

    Returns:
        The count and the hits; a score is the cosine similarity of the best passage, -1 to 1.
    """
    size = await connection.fetchval("SELECT pg_relation_size($1::regclass)", generation.passages)
    if only:
        return await _nearest_passing(connection, generation, vector, limit, only=only, size=size)
    await _set_locally(connection, _WHOLE_TABLE if size < _EXACT_BELOW_BYTES else _INDEX)
    ranked, _ = await _scan(connection, _sql(generation), [vector], limit)
    return len(ranked), ranked[:limit]


async def _nearest_passing(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
    *,
    only: Filter,
    size: int,
) -> tuple[int, list[Hit]]:
    await _set_locally(connection, _FEW_PASS)
    bound = int(_FEW * math.sqrt(size))
    if size >= _EXACT_BELOW_BYTES and not await few_pass(connection, generation, only, bound=bound):
        await _set_locally(connection, _MANY_PASS)
        ranked, went_on = await _scan(connection, _filtered_sql(generation, only), [vector, *values(only)], limit)
        if went_on and len(ranked) >= limit:
            return len(ranked), ranked[:limit]
        await _set_locally(connection, _ALL_THAT_PASS)
    rows = await passing_documents(connection, generation, vector, limit, only=only)
    return rows[0]["documents"] if rows else 0, [_hit(row) for row in rows]


async def _scan(connection: Any, sql: str, arguments: list[Any], limit: int) -> tuple[list[Hit], bool]:  # noqa: ANN401 - see above
    """The documents of the nearest passages, of which it takes more until the best are certain.

    Returns:
        All candidates, best first, and whether there were as many passages as asked for.
    """
    depth = MIN_CANDIDATES
    while depth < 2 * limit:
        depth *= 2
    while True:
        rows = await connection.fetch(f"{sql} LIMIT {depth}", *arguments)
        ranked = _best_passages(rows)
        # What ties with the last hit must have been seen too, or the order of ids would depend on the limit.
        settled = len(ranked) > limit and max(row["distance"] for row in rows) > 1 - ranked[limit - 1].score
        if settled or len(rows) < depth or depth >= MAX_CANDIDATES:
            return ranked, len(rows) == depth
        depth *= 2


async def _set_locally(connection: Any, settings: Mapping[str, object]) -> None:  # noqa: ANN401 - see above
    await connection.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


def _sql(generation: SemanticGeneration) -> str:
    return (
        f"SELECT document_id, body_start, body_end, embedding <=> $1 AS distance FROM {generation.passages}"  # noqa: S608 - a validated name
        " ORDER BY embedding <=> $1"
    )


def _filtered_sql(generation: SemanticGeneration, only: Filter) -> str:
    return (
        f"SELECT document_id, body_start, body_end, embedding <=> $1 AS distance FROM {generation.passages}"  # noqa: S608 - validated names
        f" JOIN {generation.documents} ON id = document_id WHERE {condition(only, first=2)} ORDER BY embedding <=> $1"
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
