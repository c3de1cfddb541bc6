"""Stand-ins for the indexes and Kafka that are stricter than the real ones: a misuse fails the test at once."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from indexer.backend import Answer, Hit, IndexStats, Query
from indexer.deadline import Deadline
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery, count_documents
from indexer.filtering import EVERYTHING, Filter
from streams.change import Position, StoredDocument
from streams.document import Document, DocumentId, check_document
from streams.errors import StreamUnavailable
from streams.publisher import OutgoingRecord, RecordMetadata, RecordProducer
from streams.topics import TopicOffsets
from streams.watermark import Watermark

CLUSTER = "fake-cluster"
PATIENCE_SECONDS = 10.0


class NativePanic(BaseException):
    """What a panic in native code is to Python: no `Exception`."""


class FakeBackend:
    """A `SearchBackend` over documents in memory that answers every query with the same ranking.

    Attributes:
        ranking: hits of every query, best first; ties must be ordered by id.
        fault: raised by the operations named in `faulty`.
        hang: operations that never end.
        read: offset that the index has read up to, in partition 0.
        cluster: that it was read from.
        begun: how often each operation was begun.
        searches: limits of the searches so far.
        filters: of what was asked so far; they change nothing here.
        patience: of the searches so far.
        counts: what was to be counted so far.
        explained: ids of what was to be explained so far.
        fetched: ids of the fetches so far.
        cancelled: how many hanging operations were cancelled.
    """

    def __init__(self, *hits: tuple[str, float], read: int = 100, cluster: str = CLUSTER) -> None:
        self.ranking = [Hit(DocumentId(name), score) for name, score in hits]
        self._refuse_disorder()
        self.documents = {hit.id: stored(hit.id) for hit in self.ranking}
        self.fault: BaseException | None = None
        self.faulty = frozenset({"search", "newest", "count", "explain", "fetch", "watermark", "stats"})
        self.hang: frozenset[str] = frozenset()
        self.detail = ""
        self.read = read
        self.cluster = cluster
        self.begun: Counter[str] = Counter()
        self._beginning = asyncio.Condition()
        self.searches: list[int] = []
        self.filters: list[Filter] = []
        self.patience: list[float] = []
        self.counts: list[FacetQuery] = []
        self.explained: list[list[DocumentId]] = []
        self.fetched: list[list[DocumentId]] = []
        self.cancelled = 0
        self.closed = False

    async def search(self, query: Query) -> Answer:
        """The ranking, cut at the limit."""
        assert query.text.strip(), "a backend is never asked a blank query"
        assert 1 <= query.limit <= 10_000, "limits are bounded before they get here"
        self.searches.append(query.limit)
        self.filters.append(query.only)
        self.patience.append(query.deadline.patience)
        await self._begin("search", query.deadline)
        return Answer(self.ranking[: query.limit], len(self.ranking), self._watermark(), detail=self.detail)

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """All documents, in the order of their timestamps."""
        self.filters.append(only)
        await self._begin("newest", deadline)
        newest = sorted(self.documents.values(), key=lambda found: (-found.position.timestamp_ms, found.document.id))
        hits = [Hit(found.document.id, float(found.position.timestamp_ms)) for found in newest]
        return Answer(hits[:limit], len(hits), self._watermark())

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """What every query matches, and what is asked for by id."""
        assert asked.fields, "nothing is not counted"
        assert len(set(asked.ids)) == len(asked.ids), "no document is named twice"
        assert (asked.text is None) is asked.everything
        self.counts.append(asked)
        await self._begin("count", asked.deadline)
        matching = {hit.id for hit in self.ranking} | (set(asked.ids) & self.documents.keys())
        fields, documents = count_documents((self.documents[name].document for name in matching), asked)
        return FacetCounts(fields, documents, len(set(asked.ids) - self.documents.keys()))

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """The score of the ranking, as it is."""
        assert ids, "nothing is not explained"
        self.explained.append(list(ids))
        await self._begin("explain", query.deadline)
        return {hit.id: Explanation("as it is", hit.score) for hit in self.ranking if hit.id in ids}

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """The stored documents."""
        assert len(set(ids)) == len(ids), "no document is fetched twice"
        self.fetched.append(list(ids))
        await self._begin("fetch", deadline)
        return {name: self.documents[name] for name in ids if name in self.documents}

    async def watermark(self, deadline: Deadline) -> Watermark:
        """What was read."""
        await self._begin("watermark", deadline)
        return self._watermark()

    async def stats(self, deadline: Deadline) -> IndexStats:
        """The state."""
        await self._begin("stats", deadline)
        return IndexStats("g000001", len(self.documents), 1_000, self._watermark(), created_at=1_700_000_000.0)

    async def asked(self, operation: str, times: int = 1) -> None:
        """Wait until an operation was begun this often."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._beginning:
            await self._beginning.wait_for(lambda: self.begun[operation] >= times)

    async def close(self) -> None:
        """Close once."""
        assert not self.closed, "closed twice"
        self.closed = True

    def fail(self, fault: BaseException, *operations: str) -> None:
        """Let operations fail from now on; all, when none is named."""
        self.fault = fault
        self.faulty = frozenset(operations) or self.faulty

    async def _begin(self, operation: str, deadline: Deadline) -> None:
        assert not self.closed, "used after it was closed"
        assert isinstance(deadline, Deadline)
        async with self._beginning:
            self.begun[operation] += 1
            self._beginning.notify_all()
        await asyncio.sleep(0)  # let the others begin, as a real backend would
        if operation in self.hang:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.fault is not None and operation in self.faulty:
            raise self.fault

    def _watermark(self) -> Watermark:
        return Watermark("documents", self.cluster, {0: self.read}, timestamp_ms=1_000)

    def _refuse_disorder(self) -> None:
        keys = [(-hit.score, hit.id) for hit in self.ranking]
        assert keys == sorted(keys), "hits must come best first, ties by id"


class FakeOffsets:
    """An `OffsetSource` with one partition."""

    def __init__(self, end: int | None = 100) -> None:
        self.end = end
        self.reads = 0

    async def read(self) -> TopicOffsets:
        """The range, or an error while `end` is None."""
        self.reads += 1
        if self.end is None:
            raise StreamUnavailable("Kafka does not answer")
        return TopicOffsets(CLUSTER, {0: 0}, {0: self.end})

    async def close(self) -> None:
        """Nothing to let go of."""


def stored(document_id: str, *, body: str = "", title: str = "", offset: int = 0) -> StoredDocument:
    """A document as an index keeps it."""
    document = Document(
        id=DocumentId(document_id), title=title or f"title of {document_id}", body=body or f"body of {document_id}"
    )
    check_document(document)
    return StoredDocument(document, Position(0, offset, 1_000 + offset))


class FakeProducer(RecordProducer):
    """Acknowledges every record, and remembers what was sent.

    Attributes:
        sent: records, in order.
        waiting_bytes: of values that were sent and are not acknowledged.
        most_waiting_bytes: the most there ever were.
    """

    def __init__(self, *, refuse_after: int | None = None) -> None:
        super().__init__("nowhere", client_id="fake")
        self.sent: list[OutgoingRecord] = []
        self.waiting_bytes = 0
        self.most_waiting_bytes = 0
        self._refuse_after = refuse_after

    async def send(self, record: OutgoingRecord) -> "asyncio.Future[RecordMetadata]":
        """Queue a record."""
        if self._refuse_after is not None and len(self.sent) >= self._refuse_after:
            raise StreamUnavailable("Kafka went away")
        self.sent.append(record)
        self.waiting_bytes += len(record.value or b"")
        self.most_waiting_bytes = max(self.most_waiting_bytes, self.waiting_bytes)
        acknowledged: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(_Place(0, len(self.sent) - 1))
        return acknowledged

    async def confirm(self, pending: "asyncio.Future[RecordMetadata]") -> RecordMetadata:
        """Only now is its memory free."""
        place = await pending
        self.waiting_bytes -= len(self.sent[place.offset].value or b"")
        return place


class _Place:
    def __init__(self, partition: int, offset: int) -> None:
        self.partition = partition
        self.offset = offset
