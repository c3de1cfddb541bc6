"""Short ways to say what the tests index and ask."""

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.tantivy import TantivySearcher
from streams.change import Change, Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark

SOON = 10.0


def upsert(name: str, body: str, *, offset: int = 0, title: str = "", tags: tuple[str, ...] = ()) -> Upsert:
    """A document as it was read at an offset of partition 0; its timestamp grows with the offset."""
    document = Document(id=DocumentId(name), title=title, body=body, tags=tags, source="tests")
    return Upsert(document, Position(0, offset, 1_700_000_000_000 + offset))


def delete(name: str, *, offset: int) -> Delete:
    """A tombstone read at an offset of partition 0."""
    return Delete(DocumentId(name), Position(0, offset, 1_700_000_000_000 + offset))


def watermark_after(changes: list[Change]) -> Watermark:
    """The watermark of an index that has read these changes."""
    last = max(change.position.offset for change in changes)
    return Watermark(cluster="tests", offsets={0: last + 1})


def ask(searcher: TantivySearcher, text: str, *, limit: int = 10) -> Answer:
    """Search with plenty of time."""
    return searcher.search(Query(text, limit, Deadline.after(SOON)))


def found(searcher: TantivySearcher, text: str, *, limit: int = 10) -> list[str]:
    """The ids that a query finds, best first."""
    return [hit.id for hit in ask(searcher, text, limit=limit).hits]
