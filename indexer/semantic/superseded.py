"""Versions of documents that a rebuild need not embed, because the live generation has read a newer one.

A topic that was not compacted lately has many versions of a document that changes often, each with a text of its own. A
rebuild that embeds them all may be slower than new ones come, and never end. So a change is left out where the live
generation has its document from a later record of the same partition of the same topic: a record that is read too
before anybody sees the generation that is filled, since a replay ends no more than a batch before the end of the topic.
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import structlog

from indexer.batch import EMBEDDING_BATCH
from indexer.semantic.schema import SemanticGeneration, read_watermark
from streams.change import Change, Upsert
from streams.watermark import Watermark

_MARGIN: Final = EMBEDDING_BATCH.records
"""Offsets before the end of what the live generation has read that a replay may leave unread."""

_log = structlog.stdlib.get_logger(__name__)


class Superseded:
    """What the live generation says of older versions.

    Args:
        live: the generation.
        read: how far it had read.
    """

    def __init__(self, live: SemanticGeneration, read: Watermark) -> None:
        self._live: SemanticGeneration | None = live
        self._read = read

    @classmethod
    async def by(cls, connection: Any, live: SemanticGeneration) -> "Superseded":  # noqa: ANN401 - asyncpg ships no types
        """By this generation, as it is now.

        Raises:
            asyncpg.PostgresError: the database refused.
        """
        return cls(live, await read_watermark(connection, live))

    async def without(self, connection: Any, changes: Sequence[Change], filled: Watermark) -> Sequence[Change]:  # noqa: ANN401 - see above
        """The changes without those that are superseded; deletions stay, for they cost nothing.

        Args:
            connection: to the database, not in a transaction.
            changes: that are to be applied.
            filled: how far the generation that they are for has read, from which topic.

        Raises:
            asyncpg.PostgresError: the database refused.
        """
        asked = [change.id for change in changes if isinstance(change, Upsert) and self._has_passed(change)]
        if self._live is None or not asked or not self._is_of_same_topic(filled):
            return changes
        try:
            rows = await connection.fetch(
                f"SELECT id, partition, record_offset FROM {self._live.documents} WHERE id = ANY($1)",  # noqa: S608 - a validated name
                asked,
            )
        except asyncpg.UndefinedTableError:
            _log.info("the generation that was live is gone", generation=self._live.name)
            self._live = None
            return changes
        newer = {row["id"]: (row["partition"], row["record_offset"]) for row in rows}
        return [change for change in changes if not self._is_superseded(change, newer.get(change.id))]

    def _is_superseded(self, change: Change, newer: tuple[int, int] | None) -> bool:
        if newer is None or not isinstance(change, Upsert):
            return False
        partition, offset = newer
        return partition == change.position.partition and change.position.offset < offset < self._end(partition)

    def _has_passed(self, change: Change) -> bool:
        return change.position.offset < self._end(change.position.partition)

    def _end(self, partition: int) -> int:
        return self._read.offsets.get(partition, 0) - _MARGIN

    def _is_of_same_topic(self, other: Watermark) -> bool:
        mine = self._read.topic, self._read.cluster, self._read.topic_id
        return mine == (other.topic, other.cluster, other.topic_id) and bool(other.topic_id)
