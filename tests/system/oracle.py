"""What every index must equal: the topic's compacted view, of all records or of those before a watermark."""

from collections.abc import Mapping, Sequence

import msgspec

from streams.change import Change, Position, StoredDocument, Upsert
from streams.codec import decode_change
from streams.document import DocumentId
from streams.errors import UndecodableRecord
from streams.reader import read_topic


class Past(msgspec.Struct, frozen=True):
    """What was published.

    Attributes:
        changes: that can be indexed, in the order of their partitions.
        end: of the topic: the offset behind the last record, by partition.
    """

    changes: Sequence[Change]
    end: Mapping[int, int]

    def view(self, offsets: Mapping[int, int] | None = None) -> dict[DocumentId, StoredDocument]:
        """The last version of each document among the records before these offsets, or among all."""
        until = self.end if offsets is None else offsets
        found: dict[DocumentId, StoredDocument] = {}
        for change in self.changes:
            if change.position.offset >= until.get(change.position.partition, 0):
                continue
            if isinstance(change, Upsert):
                found[change.id] = StoredDocument(change.document, change.position)
            else:
                found.pop(change.id, None)
        return found


async def past_of(bootstrap_servers: str, topic: str) -> Past:
    """Read a topic, small enough for memory, by the record's own keys."""
    changes, end = list[Change](), dict[int, int]()
    async for record in read_topic(bootstrap_servers, topic):
        position = Position(record.partition, record.offset, record.timestamp)
        end[record.partition] = record.offset + 1
        try:
            changes.append(decode_change(record.key, record.value, position))
        except UndecodableRecord:
            continue
    return Past(changes, end)


async def compacted_view(bootstrap_servers: str, topic: str) -> dict[DocumentId, StoredDocument]:
    """Fold the topic to its last version of each document."""
    return (await past_of(bootstrap_servers, topic)).view()
