"""Counts documents by their values, from what is stored of each: tables have no columns for that.

So it costs a read of each document, and counts those that a search has found, or the newest where all are asked for.
"""

from typing import Any, Final

import msgspec

from indexer.facets import FacetCounts, FacetQuery, count_documents
from indexer.semantic.conditions import condition, values
from indexer.semantic.schema import SemanticGeneration
from streams.change import StoredDocument

MOST_DOCUMENTS: Final = 10_000
"""That are counted where all are asked for."""

_decoder = msgspec.json.Decoder(StoredDocument)


async def count_stored(connection: Any, generation: SemanticGeneration, asked: FacetQuery) -> FacetCounts:  # noqa: ANN401 - asyncpg ships no types
    """Count what a search found, or all.

    What matches a query is not known beyond what was found: everything is near to some degree.

    Args:
        connection: inside a transaction.
        generation: that is searched.
        asked: what to count.
    """
    ids = [name for name in asked.ids if "\0" not in name]  # a text in PostgreSQL cannot hold NUL, nor can an id
    found = await connection.fetch(f"SELECT id, stored FROM {generation.documents} WHERE id = ANY($1)", ids)  # noqa: S608 - a validated name
    rows = {row["id"]: row["stored"] for row in found}
    whole = asked.text is None
    if asked.everything:
        where = f" WHERE {condition(asked.only, first=1)}" if asked.only else ""
        newest = await connection.fetch(
            f"SELECT id, stored FROM {generation.documents}{where}"  # noqa: S608 - a validated name
            f" ORDER BY timestamp_ms DESC, id LIMIT {MOST_DOCUMENTS + 1}",
            *values(asked.only),
        )
        whole = len(newest) <= MOST_DOCUMENTS
        rows |= {row["id"]: row["stored"] for row in newest[:MOST_DOCUMENTS]}
    fields, documents = count_documents((_decoder.decode(stored).document for stored in rows.values()), asked)
    return FacetCounts(fields, documents, len(asked.ids) - len(found), whole)
