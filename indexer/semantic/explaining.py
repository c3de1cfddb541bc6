"""Why documents are near a query: the distance of the passage of each that is nearest."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.explanation import Explanation
from indexer.semantic.schema import SemanticGeneration
from streams.document import DocumentId

_SHOWN_CHARACTERS: Final = 200


async def explain_nearness(
    connection: Any,  # noqa: ANN401 - asyncpg ships no types
    generation: SemanticGeneration,
    vector: npt.NDArray[np.float32],
    ids: Sequence[DocumentId],
) -> dict[DocumentId, Explanation]:
    """The similarity of some documents to a vector, and the passage it comes from.

    Args:
        connection: inside a transaction.
        generation: that was searched.
        vector: of the query, shape (dimensions,), float32, unit length.
        ids: of the documents.
    """
    rows = await connection.fetch(
        "SELECT DISTINCT ON (document_id) document_id, body_start, body_end, embedding <=> $1 AS distance,"  # noqa: S608 - validated names
        " count(*) OVER (PARTITION BY document_id) AS passages,"
        " convert_from(stored, 'UTF8')::json -> 'document' ->> 'body' AS body"
        f" FROM {generation.passages} JOIN {generation.documents} ON id = document_id"
        " WHERE document_id = ANY($2) ORDER BY document_id, distance, body_start",
        vector,
        [name for name in ids if "\0" not in name],  # a text in PostgreSQL cannot hold NUL, nor can an id
    )
    return {DocumentId(row["document_id"]): _explanation(row) for row in rows}


def _explanation(row: Any) -> Explanation:  # noqa: ANN401 - asyncpg ships no types
    start, end = row["body_start"], row["body_end"]
    place = f"characters {start} to {end} of the body" if end else "the title"
    return Explanation(
        "1 - cosine distance of the nearest passage",
        1 - row["distance"],
        (
            Explanation("cosine distance", row["distance"]),
            Explanation(f"the passage: {place}{_excerpt(row['body'], start, end)}"),
            Explanation("passages of the document", float(row["passages"])),
        ),
    )


def _excerpt(body: str, start: int, end: int) -> str:
    if not end:
        return ""
    text = " ".join(body[start : min(end, start + _SHOWN_CHARACTERS)].split())
    return f": {text}{' …' if end - start > _SHOWN_CHARACTERS else ''}"
