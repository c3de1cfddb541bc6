"""Versions of documents that a rebuild need not embed, because the live generation has read a newer one.

A topic that was not compacted lately has many versions of a document that changes often, each with a text of its own. A
rebuild that embeds them all may be slower than new ones come, and never end. So a change is left out where the live
generation has its document from a later record of the same partition of the same topic, which the rebuild has said that
it will read too before anybody sees what it fills (`RebuildRecord.goal`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from indexer.batch_limits import EMBEDDING_BATCH
from indexer.rebuild.phases import RebuildRecord
from indexer.semantic.schema import SCHEMA, SemanticGeneration, read_watermark
from streams.change import Change, Upsert
from streams.watermark import Watermark

_MARGIN: Final = EMBEDDING_BATCH.records
"""Offsets before its goal that a rebuild may leave unread."""

_log = structlog.stdlib.get_logger(__name__)


class Superseded:
    """What the live generation says of older versions.

    Args:
        live: the generation.
        read: how far it had read, from which topic.
        filled: name of the generation that a rebuild fills.
    """

    def __init__(self, live: SemanticGeneration, read: Watermark, filled: str) -> None:
        self._live: SemanticGeneration | None = live
        self._topic = _topic_of(read)
        self._filled = filled

    @classmethod
    async def by(cls, connection: Any, live: SemanticGeneration, filled: str) -> "Superseded":  # noqa: ANN401 - asyncpg ships no types
        """By this generation, as it is now.

        Raises:
            asyncpg.PostgresError: the database refused.
        """
        return cls(live, await read_watermark(connection, live), filled)

    async def without(self, connection: Any, changes: Sequence[Change], filled: Watermark) -> Sequence[Change]:  # noqa: ANN401 - see above
        """The changes without those that are superseded; deletions stay, for they cost nothing.

        Args:
            connection: to the database, not in a transaction.
            changes: that are to be applied.
            filled: how far the generation that they are for has read, from which topic.

        Raises:
            asyncpg.PostgresError: the database refused.
        """
        asked = [change.id for change in changes if isinstance(change, Upsert)]
        if self._live is None or not asked or _topic_of(filled) != self._topic or not filled.topic_id:
            return changes
        goal = await self._goal(connection)
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
        return [change for change in changes if not _is_superseded(change, newer.get(change.id), goal)]

    async def _goal(self, connection: Any) -> Mapping[int, int]:  # noqa: ANN401 - see above
        told = await connection.fetchval(
            f"SELECT rebuild FROM {SCHEMA}.generations WHERE name = $1",  # noqa: S608 - a constant
            self._filled,
        )
        return msgspec.json.decode(told, type=RebuildRecord).goal if told else {}


def _is_superseded(change: Change, newer: tuple[int, int] | None, goal: Mapping[int, int]) -> bool:
    if newer is None or not isinstance(change, Upsert):
        return False
    partition, offset = newer
    read_before_the_end = offset < goal.get(partition, 0) - _MARGIN
    return partition == change.position.partition and change.position.offset < offset and read_before_the_end


def _topic_of(watermark: Watermark) -> tuple[str, str, str]:
    return watermark.topic, watermark.cluster, watermark.topic_id
