"""The documents that pass a filter, all of them compared with a vector: exact, and quick where few pass.

Both statements go through the documents and look up the passages of each; what has an `OFFSET 0` is not taken apart by
the planner. Plain joins would be planned by statistics, which tables lack until they are first analyzed: of 50,000
documents, of which 50 passed, all passages were read, which took 270 ms instead of 10.
"""

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
        f"SELECT count(*) FROM (SELECT FROM {generation.documents} CROSS JOIN LATERAL"  # noqa: S608 - validated names
        f" (SELECT FROM {generation.passages} WHERE document_id = id OFFSET 0) AS its_passages"
        f" WHERE {condition(only, first=1)} LIMIT {bound + 1}) AS passing",
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
        f"WITH best AS (SELECT DISTINCT ON (document_id) its_passages.* FROM {generation.documents} CROSS JOIN LATERAL"  # noqa: S608 - validated names
        f" (SELECT document_id, body_start, body_end, embedding <=> $1 AS distance FROM {generation.passages}"
        f" WHERE document_id = id OFFSET 0) AS its_passages"
        f" WHERE {condition(only, first=2)} ORDER BY document_id, distance, body_start"
        f") SELECT *, count(*) OVER () AS documents FROM best ORDER BY 1 - distance DESC, document_id LIMIT {limit}",
        vector,
        *values(only),
    )
    return rows
