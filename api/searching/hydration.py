"""Fetches the documents of one page, each from the first backend that must know it and can deliver it.

Only what is shown is fetched, and no single store is needed for an answer. A backend must know what it returned, and
also what others did that had read no further: so a page mostly comes from one store, and the one on this machine
whose documents are read at the least cost comes first. A page of a thousand of the largest
documents takes a gigabyte: so they come some at a time, and none any more once memory is short.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from api.fusion import FusedHit
from indexer.backend import Answer, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault, OutOfMemory
from streams.document import Document, DocumentId

FAIR_SECONDS: Final = 0.2
"""Time in which a backend that is well can deliver a page, on a busy machine too."""

FETCHED_AT_A_TIME: Final = 10
"""Documents of one backend between two looks at the memory; it is no more than most pages have."""

GoOn = Callable[[], None]
"""Raises `OutOfMemory` when a request may take no more of it."""

_log = structlog.stdlib.get_logger(__name__)


class Page(msgspec.Struct, frozen=True):
    """What could be fetched.

    Attributes:
        documents: by id; one that is missing was deleted since the search, or stands in `failures`.
        failures: why no backend could deliver a document, by id.
        shortages: why the page was given up, if it was.
    """

    documents: dict[DocumentId, Document]
    failures: dict[DocumentId, str]
    shortages: list[str]


async def hydrate(
    hits: Sequence[FusedHit],
    answers: Mapping[str, Answer],
    backends: Mapping[str, SearchBackend],
    deadline: Deadline,
    go_on: GoOn,
) -> Page:
    """Fetch the documents of these hits.

    Args:
        hits: of one page.
        answers: by method, which tell how far each index had read.
        backends: by method, in the order in which to prefer them; each has answered.
        deadline: for all of it.
        go_on: asked before some are fetched.
    """
    known = {
        method: {other for other, answer in answers.items() if answers[method].watermark.covers(answer.watermark)}
        for method in backends
    }
    sources = {
        hit.id: [method for method in backends if method in hit.methods or known[method] >= hit.methods.keys()]
        for hit in hits
    }
    page = Page({}, {}, [])
    for left in range(len(backends), 0, -1):
        wanted = _next_sources(sources, page)
        if not wanted or page.shortages:
            break
        share = fair_share(deadline, left)
        (method, ids), *others = wanted.items()
        async with asyncio.TaskGroup() as group:
            for other, its_ids in others:
                group.create_task(_fetch(backends[other], other, its_ids, share, page, go_on))
            await _fetch(backends[method], method, ids, share, page, go_on)
    if page.shortages:
        page.documents.clear()
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


async def _fetch(
    backend: SearchBackend, method: str, ids: list[DocumentId], deadline: Deadline, page: Page, go_on: GoOn
) -> None:
    for begin in range(0, len(ids), FETCHED_AT_A_TIME):
        try:
            go_on()
            stored = await backend.fetch(ids[begin : begin + FETCHED_AT_A_TIME], deadline)
        except OutOfMemory as exc:
            page.shortages.append(str(exc))  # not the error: its frames hold the page, which must go at once
            return
        except IndexFault as exc:
            left = ids[begin:]
            _log.warning("page could not be fetched", backend=method, documents=len(left), error=str(exc))
            page.failures.update(dict.fromkeys(left, f"{method}: {exc}"))
            return
        for document_id, found in stored.items():
            page.documents[document_id] = found.document
            page.failures.pop(document_id, None)
