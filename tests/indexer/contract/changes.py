"""Short ways to say what the tests of an index write."""

from streams.change import Change, Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark

EPOCH_MS = 1_700_000_000_000


def upsert(name: str, body: str, *, offset: int, title: str = "", partition: int = 0) -> Upsert:
    """A document as it was read at an offset; its timestamp grows with the offset."""
    document = Document(id=DocumentId(name), title=title, body=body)
    return Upsert(document, Position(partition, offset, EPOCH_MS + offset))


def delete(name: str, *, offset: int, partition: int = 0) -> Delete:
    """A tombstone read at an offset."""
    return Delete(DocumentId(name), Position(partition, offset, EPOCH_MS + offset))


def watermark_after(*changes: Change) -> Watermark:
    """The watermark of an index that has read these changes, and all before them."""
    following: dict[int, int] = {}
    for change in changes:
        position = change.position
        following[position.partition] = max(following.get(position.partition, 0), position.offset + 1)
    newest = max((change.position.timestamp_ms for change in changes), default=0)
    return Watermark(cluster="tests", offsets=following, timestamp_ms=newest)
