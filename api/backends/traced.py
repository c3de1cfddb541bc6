"""Shows each call of a backend as a span of its request."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.trace import Span

from indexer.backend import Answer, IndexStats, Query, SearchBackend
from indexer.deadline import Deadline
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.tracing import Tracer
from streams.watermark import Watermark


class TracedBackend:
    """A `SearchBackend` whose calls are spans; what they raise is recorded there.

    Args:
        inner: the backend.
        name: of its search method.
        tracer: of this process.
    """

    def __init__(self, inner: SearchBackend, name: str, tracer: Tracer) -> None:
        self._inner = inner
        self._name = name
        self._tracer = tracer

    async def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        with self._span("search") as span:
            return _told(span, await self._inner.search(query))

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        with self._span("newest") as span:
            return _told(span, await self._inner.newest(limit, deadline, only))

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        with self._span("count") as span:
            counts = await self._inner.count(asked)
            span.set_attribute("embed_search.documents", counts.documents)
            return counts

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        with self._span("explain") as span:
            explained = await self._inner.explain(query, ids)
            span.set_attribute("embed_search.documents", len(explained))
            return explained

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        with self._span("fetch") as span:
            found = await self._inner.fetch(ids, deadline)
            span.set_attribute("embed_search.documents", len(found))
            return found

    async def watermark(self, deadline: Deadline) -> Watermark:
        """As `SearchBackend.watermark`; many requests share a look, which is a part of none."""
        return await self._inner.watermark(deadline)

    async def stats(self, deadline: Deadline) -> IndexStats:
        """As `SearchBackend.stats`; probes come often, and are no part of a request's work."""
        return await self._inner.stats(deadline)

    async def close(self) -> None:
        """As `SearchBackend.close`."""
        await self._inner.close()

    @contextmanager
    def _span(self, operation: str) -> Iterator[Span]:
        name = f"{operation} {self._name}"
        with self._tracer.span(name, attributes={"embed_search.method": self._name}) as span:
            yield span


def _told(span: Span, answer: Answer) -> Answer:
    span.set_attributes(
        {
            "embed_search.hits": len(answer.hits),
            "embed_search.total": answer.total,
            "embed_search.total_relation": answer.total_relation,
        }
    )
    return answer
