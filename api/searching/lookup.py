"""One document as the indexes hold it: the newest version any of them has, and where each of them stands."""

import asyncio
from collections.abc import Mapping

import msgspec

from api.errors import DocumentNotFound, SearchUnavailable
from api.messages.responses import IndexedAt
from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from streams.change import StoredDocument
from streams.document import Document, DocumentId


class FoundDocument(msgspec.Struct, frozen=True):
    """A document, and where it is indexed."""

    document: Document
    indexes: dict[str, IndexedAt]


async def look_up(document_id: DocumentId, backends: Mapping[str, SearchBackend], deadline: Deadline) -> FoundDocument:
    """Ask every index for a document.

    Raises:
        DocumentNotFound: no index that answers holds it.
        SearchUnavailable: no index answers.
    """
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(_fetch(backend, document_id, deadline)) for name, backend in backends.items()}
    copies = {name: task.result() for name, task in tasks.items()}
    stored = [copy for copy in copies.values() if isinstance(copy, StoredDocument)]
    if not stored:
        failures = {name: copy for name, copy in copies.items() if isinstance(copy, str)}
        raise SearchUnavailable(failures) if len(failures) == len(copies) else DocumentNotFound(document_id, failures)
    # A key stays in its partition, so that offsets tell versions apart; after repartitioning, timestamps do.
    newest = max(stored, key=lambda copy: (copy.position.timestamp_ms, copy.position.offset))
    return FoundDocument(newest.document, {name: _place(copy) for name, copy in copies.items()})


async def _fetch(backend: SearchBackend, document_id: DocumentId, deadline: Deadline) -> StoredDocument | str | None:
    try:
        return (await backend.fetch([document_id], deadline)).get(document_id)
    except IndexFault as exc:
        return str(exc)


def _place(copy: StoredDocument | str | None) -> IndexedAt:
    if isinstance(copy, str):
        return IndexedAt(None, error=copy)
    if copy is None:
        return IndexedAt(indexed=False)
    position = copy.position
    return IndexedAt(True, position.partition, position.offset, position.timestamp_ms)  # noqa: FBT003 - a struct field
