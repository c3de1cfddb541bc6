"""Short ways to say what the tests index and ask."""

import msgspec

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.semantic import SemanticBackend, SemanticWriter
from streams.change import Change, Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark

FILES = "Open a file and read its lines one after the other."
WEATHER = "Tomorrow it will rain in the mountains, with snow above 2,000 metres."
COOKING = "Boil the pasta in salted water and stir the sauce."


def soon() -> Deadline:
    """Plenty of time."""
    return Deadline.after(60)


def upsert(name: str, body: str, *, offset: int = 0, partition: int = 0, title: str = "") -> Upsert:
    """A document as it was read at an offset; its timestamp grows with the offset."""
    document = Document(id=DocumentId(name), title=title, body=body)
    return Upsert(document, Position(partition, offset, 1_700_000_000_000 + offset))


def with_tags(change: Upsert, *tags: str) -> Upsert:
    """The same document, but for its tags."""
    return msgspec.structs.replace(change, document=msgspec.structs.replace(change.document, tags=tags))


def delete(name: str, *, offset: int, partition: int = 0) -> Delete:
    """A tombstone read at an offset."""
    return Delete(DocumentId(name), Position(partition, offset, 1_700_000_000_000 + offset))


async def put(writer: SemanticWriter, *changes: Change) -> None:
    """Apply and commit, with a watermark just behind these changes."""
    assert list(await writer.apply(changes)) == []
    offsets: dict[int, int] = {}
    for change in changes:
        offsets[change.position.partition] = change.position.offset + 1
    await writer.commit(Watermark(cluster="tests", offsets=offsets))


async def ask(backend: SemanticBackend, text: str, *, limit: int = 10) -> Answer:
    """Search with plenty of time."""
    return await backend.search(Query(text, limit, soon()))


async def found(backend: SemanticBackend, text: str, *, limit: int = 10) -> list[str]:
    """The ids that a query finds, best first."""
    return [hit.id for hit in (await ask(backend, text, limit=limit)).hits]
