"""What a writer of the semantic index says to PostgreSQL.

Versions in one partition are ordered by their offsets, and an older one changes nothing; versions in different
partitions have no order but that of their arrival.
"""

from typing import Final

import msgspec

from indexer.semantic.schema import SemanticGeneration

_FIRST_POSITION: Final = """
INSERT INTO {watermarks} (partition, next_offset, topic, cluster, timestamp_ms, topic_id, partitions, current_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING RETURNING next_offset
"""
_NEXT_POSITION: Final = """
UPDATE {watermarks} SET next_offset = $2, topic = $3, cluster = $4, timestamp_ms = $5, topic_id = $6, partitions = $7,
    current_ms = $8
WHERE partition = $1 AND next_offset = $9 RETURNING next_offset
"""
_DELETE: Final = """
DELETE FROM {documents} d USING unnest($1::text[], $2::int[], $3::bigint[]) AS c(id, partition, record_offset)
WHERE d.id = c.id AND NOT (d.partition = c.partition AND d.record_offset >= c.record_offset)
"""
# An array of arrays cannot hold labels, of which each document has another number: they come one after the other.
_CHANGES: Final = """
(SELECT row.*, ($8::bigint[])[first_label:last_label] AS labels FROM
unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[], $9::int[], $10::int[])
AS row(id, partition, record_offset, timestamp_ms, stored, content_hash, published_us, first_label, last_label)) AS c
"""
_TOUCH: Final = """
WITH changes AS (SELECT * FROM {changes}), touched AS (
    UPDATE {documents} d
    SET partition = c.partition, record_offset = c.record_offset, timestamp_ms = c.timestamp_ms, stored = c.stored,
        labels = c.labels, published_us = c.published_us
    FROM changes c
    WHERE d.id = c.id AND d.content_hash = c.content_hash
      AND NOT (d.partition = c.partition AND d.record_offset >= c.record_offset)
)
SELECT count(*) FROM changes c LEFT JOIN {documents} d ON d.id = c.id
WHERE d.id IS NULL
   OR (d.content_hash <> c.content_hash AND NOT (d.partition = c.partition AND d.record_offset >= c.record_offset))
"""
_PUT: Final = """
INSERT INTO {documents} AS d
    (id, partition, record_offset, timestamp_ms, stored, content_hash, labels, published_us)
SELECT id, partition, record_offset, timestamp_ms, stored, content_hash, labels, published_us FROM {changes}
ON CONFLICT (id) DO UPDATE SET partition = excluded.partition, record_offset = excluded.record_offset,
    timestamp_ms = excluded.timestamp_ms, stored = excluded.stored, content_hash = excluded.content_hash,
    labels = excluded.labels, published_us = excluded.published_us
WHERE NOT (d.partition = excluded.partition AND d.record_offset >= excluded.record_offset)
RETURNING id
"""
_REMOVE: Final = "DELETE FROM {documents} WHERE id = ANY($1)"
_CLEAR: Final = "DELETE FROM {passages} WHERE document_id = ANY($1)"


class Statements(msgspec.Struct, frozen=True):
    """The statements of one generation.

    Attributes:
        first_position: a partition's first position, unless it has one; gives a row when it was set.
        next_position: moves a partition on from where it was last seen; gives a row when it was moved.
        delete: removes documents with their passages.
        remove: removes documents with their passages, whatever their version.
        touch: new rows for documents whose text is as it was; gives how many are gone or have another text after all.
        put: new rows for documents with new text; gives the ids of those that were taken.
        clear: removes the passages of documents.
    """

    first_position: str
    next_position: str
    delete: str
    remove: str
    touch: str
    put: str
    clear: str

    @classmethod
    def of(cls, generation: SemanticGeneration) -> "Statements":
        """The statements with this generation's tables in them."""
        tables = {
            "watermarks": generation.watermarks,
            "documents": generation.documents,
            "passages": generation.passages,
            "changes": _CHANGES,
        }
        templates = (_FIRST_POSITION, _NEXT_POSITION, _DELETE, _REMOVE, _TOUCH, _PUT, _CLEAR)
        return cls(*(template.format(**tables) for template in templates))
