"""The documents that pass a filter, all of them compared with a vector: exact, and quick where few pass."""

from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.filtering import Filter
from indexer.semantic.conditions import condition, values
from indexer.semantic.schema import SemanticGeneration


async def few_pass(connection: Any, generation: SemanticGeneration, only: Filter, *, bound: int) -> bool:  # noqa: ANN401 - asyncpg ships no types
    """Whether the documents that pass have at most `bound` passages, without counting any further.

    Args:
        connection: inside a transaction.
        generation: what to search.
        only: the documents that may be found.
        bound: how many passages are few.
    """
    passages: int = await connection.fetchval(
        f"SELECT count(*) FROM (SELECT FROM {generation.documents} d JOIN {generation.passages} p"  # noqa: S608 - validated names
        f" ON p.document_id = d.id WHERE {condition(only, first=1)} LIMIT {bound + 1}) AS passing",
        *values(only),
    )
    return passages <= bound


async def passing_documents(
    connection: Any,  # noqa: ANN401 - see above
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    limit: int,
    *,
    only: Filter,
) -> list[Any]:
    """The best passage of each document that passes, best first, ties in the order of ids.

    Args:
        connection: inside a transaction.
        generation: what to search.
        vector: shape (dimensions,), float32, unit length.
        limit: rows at most.
        only: the documents that may be found.

    Returns:
        Rows of document_id, body_start, body_end, distance and, in each, how many there are without the limit.
    """
    # The filter goes first: no index is asked for the order, and the rows that pass are read once.
    rows: list[Any] = await connection.fetch(
        f"WITH passing AS MATERIALIZED ("  # noqa: S608 - validated names
        f" SELECT id FROM {generation.documents} WHERE {condition(only, first=2)}"
        f"), best AS ("
        f" SELECT DISTINCT ON (document_id) document_id, body_start, body_end, embedding <=> $1 AS distance"
        f" FROM passing JOIN {generation.passages} ON document_id = id ORDER BY document_id, distance, body_start"
        f") SELECT *, count(*) OVER () AS documents FROM best ORDER BY 1 - distance DESC, document_id LIMIT {limit}",
        vector,
        *values(only),
    )
    return rows
