"""What a record of the topic means to an index: put a document, or delete one."""

import msgspec

from streams.document import Document, DocumentId


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where in the topic a change was read; within a partition, a larger offset is a newer version.

    Attributes:
        partition: of the `documents` topic.
        offset: of the record in that partition.
        timestamp_ms: the record's timestamp, milliseconds since the epoch.
    """

    partition: int
    offset: int
    timestamp_ms: int


class Upsert(msgspec.Struct, frozen=True):
    """Put this version of the document in place of any earlier one."""

    document: Document
    position: Position

    @property
    def id(self) -> DocumentId:
        """The document this change is about."""
        return self.document.id


class Delete(msgspec.Struct, frozen=True):
    """Remove the document, if it is there."""

    id: DocumentId
    position: Position


Change = Upsert | Delete


class StoredDocument(msgspec.Struct, frozen=True):
    """A document as an index keeps it, with the position of the record it came from."""

    document: Document
    position: Position


def latest_by_id(changes: list[Change]) -> list[Change]:
    """Keep only the last change of each document, in the order in which those last changes were read."""
    latest: dict[DocumentId, Change] = {}
    for change in changes:
        latest.pop(change.id, None)
        latest[change.id] = change
    return list(latest.values())
