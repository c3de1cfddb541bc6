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
from indexer.filtering import Filter
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

_CUSTOM_PLANS: Final = MappingProxyType({"plan_cache_mode": "force_custom_plan"})
"""A cached plan would outlive the other settings, and suit another filter."""

WHOLE_TABLE: Final = "SET enable_seqscan = on; SET plan_cache_mode = force_generic_plan; "
INDEX: Final = (
    "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET hnsw.ef_search = 200;"
    " SET hnsw.iterative_scan = strict_order; SET hnsw.max_scan_tuples = 100000; "
)
"""What a session must have for the statement of `nearest_sql`; each is planned under its own settings alone."""

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
_ALL_THAT_PASS: Final = MappingProxyType({"enable_sort": "on", "enable_seqscan": "on"})


_NEAREST: Final = """
WITH nearest AS MATERIALIZED ({source}), best AS MATERIALIZED (
    SELECT DISTINCT ON (document_id) * FROM nearest ORDER BY document_id, distance, body_start
), page AS (
    SELECT * FROM best ORDER BY 1 - distance DESC, document_id LIMIT $3
)
SELECT array_agg(document_id) AS ids, array_agg(distance) AS distances,
    array_agg(body_start) AS starts, array_agg(body_end) AS ends,
    (SELECT count(*) FROM nearest) AS passages, (SELECT max(distance) FROM nearest) AS farthest,
    (SELECT count(*) FROM best) AS documents
FROM page
"""
"""Of each document the nearest passage, and of passages that say the same the first in the body; see `Candidates`.

Ids collate by their bytes, which is the order of Python too.
"""

_COLUMNS: Final = "document_id, body_start, body_end, embedding <=> $1 AS distance"


def is_small(size: int) -> bool:
    """Whether all passages are compared, by the size of their table in bytes."""
    return size < _EXACT_BELOW_BYTES


def nearest_sql(generation: SemanticGeneration, *, small: bool) -> str:
    """The documents of the passages nearest to a vector, in one row; see `Candidates`.

    Its parameters are the vector, how many passages and how many documents.

    Args:
        generation: what to search.
        small: whether to compare all passages; or else to ask the index.
    """
    if small:  # a subquery that is not taken apart keeps the index out
        every = f"(SELECT {_COLUMNS} FROM {generation.passages} OFFSET 0) AS every"  # noqa: S608 - a validated name
        return _NEAREST.format(source=f"SELECT * FROM {every} ORDER BY distance LIMIT $2")  # noqa: S608 - see above
    return _NEAREST.format(
        source=f"SELECT {_COLUMNS} FROM {generation.passages} ORDER BY embedding <=> $1 LIMIT $2"  # noqa: S608 - see above
    )


def first_depth(limit: int) -> int:
    """How many passages to look at first."""
    depth = MIN_CANDIDATES
    while depth < 2 * limit:
        depth *= 2
    return depth


class Candidates:
    """The documents of the nearest passages, as the row of a statement says.

    Args:
        row: of a statement by `_NEAREST`.
        depth: of how many passages.
        limit: how many documents were asked for.

    Attributes:
        total: how many there are.
        hits: the best of them, ties in the order of ids; a score is the cosine similarity of the best passage, -1 to 1.
        went_on: whether there were as many passages as asked for.
        final: whether more passages would change nothing, or may not be asked for.
    """

    def __init__(self, row: Any, depth: int, limit: int) -> None:  # noqa: ANN401 - asyncpg ships no types
        self.total: int = row["documents"]
        columns = [row[name] or () for name in ("ids", "distances", "starts", "ends")]
        self.hits = [_hit(*passage) for passage in zip(*columns, strict=True)]
        self.went_on = row["passages"] == depth
        # What ties with the last hit must have been seen too, or the order of ids would depend on the limit.
        settled = self.total > limit and row["farthest"] > 1 - self.hits[limit - 1].score
        self.final = settled or not self.went_on or depth >= MAX_CANDIDATES


async def nearest_passing(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
    *,
    only: Filter,
) -> tuple[int, list[Hit]]:
    """How many candidates there are among the documents that pass a filter, and the best `limit` of them.

    Args:
        connection: inside a transaction.
        generation: what to search.
        vector: shape (dimensions,), float32, unit length.
        limit: hits at most.
        only: the documents that may be found; has at least one condition.

    Returns:
        The count and the hits, as those of `Candidates`.
    """
    size = await connection.fetchval("SELECT pg_relation_size($1::regclass)", generation.passages)
    await _set_locally(connection, _CUSTOM_PLANS)
    bound = int(_FEW * math.sqrt(size))
    if not is_small(size) and not await few_pass(connection, generation, only, bound=bound):
        await _set_locally(connection, _MANY_PASS)
        candidates = await _scan_passing(connection, generation, vector, limit, only=only)
        if candidates.went_on and len(candidates.hits) >= limit:
            return candidates.total, candidates.hits
        await _set_locally(connection, _ALL_THAT_PASS)
    rows = await passing_documents(connection, generation, vector, limit, only=only)
    hits = [_hit(row["document_id"], row["distance"], row["body_start"], row["body_end"]) for row in rows]
    return rows[0]["documents"] if rows else 0, hits


async def _scan_passing(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
    *,
    only: Filter,
) -> Candidates:
    """Takes more and more of the nearest passages, until the best documents are certain."""
    sql = _NEAREST.format(
        source=f"SELECT {_COLUMNS} FROM {generation.passages} JOIN {generation.documents} ON id = document_id"  # noqa: S608 - validated names
        f" WHERE {condition(only, first=4)} ORDER BY embedding <=> $1 LIMIT $2"
    )
    depth = first_depth(limit)
    while True:
        row = await connection.fetchrow(sql, vector, depth, limit, *values(only))
        candidates = Candidates(row, depth, limit)
        if candidates.final:
            return candidates
        depth *= 2


async def _set_locally(connection: Any, settings: Mapping[str, object]) -> None:  # noqa: ANN401 - see above
    await connection.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


def _hit(document_id: str, distance: float, start: int, end: int) -> Hit:
    """A document, by its nearest passage; one that ends where the body begins was the title."""
    return Hit(DocumentId(document_id), 1 - distance, (start, end) if end else None)
