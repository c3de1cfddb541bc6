"""What several changes of one batch come down to."""

from streams.change import Change, Delete, Position, Upsert, latest_by_id
from streams.document import Document, DocumentId


def upsert(name: str, offset: int) -> Change:
    """A version of a document, read at an offset."""
    return Upsert(Document(id=DocumentId(name), body=f"version {offset}"), Position(0, offset, 0))


def test_only_the_last_change_of_a_document_counts() -> None:
    """Earlier versions in the same batch are never written, and the order is that of the last changes."""
    deleted = Delete(DocumentId("b"), Position(0, 4, 0))
    changes = [upsert("a", 0), upsert("b", 1), upsert("a", 2), upsert("c", 3), deleted]
    assert latest_by_id(changes) == [changes[2], changes[3], deleted]


def test_a_document_that_comes_back_is_put() -> None:
    """A deletion does not outlive the upsert after it."""
    changes: list[Change] = [Delete(DocumentId("a"), Position(0, 0, 0)), upsert("a", 1)]
    assert latest_by_id(changes) == changes[1:]
