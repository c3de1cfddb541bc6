"""Fetches the documents of one page, each from the first backend that returned it and can deliver it.

Only what is shown is fetched, and no single store is needed for an answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from api.fusion import FusedHit
from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from streams.change import StoredDocument
from streams.document import Document, DocumentId

FAIR_SECONDS: Final = 0.2
"""Time in which a backend that is well can deliver a page, on a busy machine too."""

_log = structlog.stdlib.get_logger(__name__)


class Page(msgspec.Struct, frozen=True):
    """What could be fetched.

    Attributes:
        documents: by id; one that is missing was deleted since the search, or stands in `failures`.
        failures: why no backend could deliver a document, by id.
    """

    documents: dict[DocumentId, Document]
    failures: dict[DocumentId, str]


async def hydrate(hits: Sequence[FusedHit], backends: Mapping[str, SearchBackend], deadline: Deadline) -> Page:
    """Fetch the documents of these hits.

    Args:
        hits: of one page.
        backends: by method, in the order in which to prefer them.
        deadline: for all of it.
    """
    sources = {hit.id: [method for method in backends if method in hit.methods] for hit in hits}
    page = Page({}, {})
    for left in range(len(backends), 0, -1):
        wanted = _next_sources(sources, page)
        if not wanted:
            break
        share = fair_share(deadline, left)
        async with asyncio.TaskGroup() as group:
            for method, ids in wanted.items():
                group.create_task(_fetch(backends[method], method, ids, share, page))
    return page


def fair_share(deadline: Deadline, left: int) -> Deadline:
    """An equal part of the time; where a slow search has left little, missing it says nothing about a backend.

    Else one method that hangs would let the breakers of those open that answer: they have what it left to fetch in.
    """
    seconds = deadline.remaining() / left
    return msgspec.structs.replace(deadline.within(seconds), hurried=deadline.hurried or seconds < FAIR_SECONDS)


def _next_sources(sources: dict[DocumentId, list[str]], page: Page) -> dict[str, list[DocumentId]]:
    """Who is to be asked next for what is still missing; each source is taken once."""
    wanted: dict[str, list[DocumentId]] = {}
    for document_id, methods in sources.items():
        if document_id not in page.documents and methods:
            wanted.setdefault(methods.pop(0), []).append(document_id)
    return wanted


async def _fetch(backend: SearchBackend, method: str, ids: list[DocumentId], deadline: Deadline, page: Page) -> None:
    try:
        stored: Mapping[DocumentId, StoredDocument] = await backend.fetch(ids, deadline)
    except IndexFault as exc:
        _log.warning("page could not be fetched", backend=method, documents=len(ids), error=str(exc))
        page.failures.update(dict.fromkeys(ids, f"{method}: {exc}"))
        return
    for document_id, found in stored.items():
        page.documents[document_id] = found.document
        page.failures.pop(document_id, None)
