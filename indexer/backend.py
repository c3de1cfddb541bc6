"""The seam that the API searches through: one question in, ids and scores of one snapshot out.

Bodies are not part of an answer: they are fetched once, after fusion, for the page that is shown.
`BlockingSearcher` is what an engine on local files implements, safe for concurrent threads; `indexer.threaded`
lifts it onto the event loop. What talks to a network implements `SearchBackend` itself.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from indexer.deadline import Deadline
from indexer.dump import BlockingDump
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

TotalRelation = Literal["eq", "gte"]


MOST_LOCATED: Final = 100
"""Of an answer; to find where a hit matches takes as long as to find out that it does."""


class Query(msgspec.Struct, frozen=True):
    """What to look for, in the syntax of the method that is asked.

    Attributes:
        text: the user's query; never blank.
        limit: how many hits to return at most, best first.
        deadline: when to give up.
        only: the documents that may be found; the others do not count into the total either.
        located: of how many of the best hits it is to be said where they match, by backends that can.
    """

    text: str
    limit: int
    deadline: Deadline
    only: Filter = EVERYTHING
    located: int = MOST_LOCATED


class MatchSpan(msgspec.Struct, frozen=True):
    """One match in the body of a document.

    Attributes:
        line: that it begins in, 1 for the first.
        start: its first character, counted from the beginning of the body.
        end: the character behind it.
    """

    line: int
    start: int
    end: int


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One document of an answer.

    Attributes:
        id: the document.
        score: the backend's own score; larger is better; ties are ordered by id, ascending.
        passage: characters of the body that matched best, as (start, end), where the backend knows.
        matches: the first matches in the body, in order, where the backend looks for them, and was asked to.
    """

    id: DocumentId
    score: float
    passage: tuple[int, int] | None = None
    matches: tuple[MatchSpan, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What one backend found in one snapshot.

    Attributes:
        hits: best first.
        total: how many documents match, in this backend's own count.
        watermark: how far the snapshot that answered had read.
        total_relation: `gte` when counting was cut short.
        detail: what the client should know about how the query was understood; usually empty.
    """

    hits: Sequence[Hit]
    total: int
    watermark: Watermark
    total_relation: TotalRelation = "eq"
    detail: str = ""


class IndexStats(msgspec.Struct, frozen=True):
    """The state of a live index.

    Attributes:
        generation: name of the live generation.
        documents: how many documents it holds; or held some seconds ago, where it takes long to count them.
        size_bytes: what it takes on disk.
        watermark: how far it has read.
        created_at: when the generation was begun, seconds since the epoch; 0 where nobody knows.
    """

    generation: str
    documents: int
    size_bytes: int
    watermark: Watermark
    created_at: float = 0.0


class SearchBackend(Protocol):
    """Answers queries over the live generation of one index and follows it when it is swapped."""

    async def search(self, query: Query) -> Answer:
        """Find the best `query.limit` documents.

        Raises:
            InvalidQuery: the client must change the query.
            DeadlineExceeded: the time ran out.
            BackendUnavailable: the backend cannot answer now.
        """
        ...

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """The documents indexed from the newest records, newest first; the score is the record's timestamp in ms.

        Args:
            limit: how many at most.
            deadline: when to give up.
            only: the documents that may be found; the total counts them alone.
        """
        ...

    async def count(self, asked: FacetQuery) -> FacetCounts:
        """Count documents by the values of some fields.

        Raises:
            InvalidQuery: the client must change the query.
            DeadlineExceeded: the time ran out.
            BackendUnavailable: the backend cannot answer now.
        """
        ...

    async def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """Why documents have the scores that `search` gives them; those that do not match are left out.

        Args:
            query: that found them; its limit means nothing here.
            ids: of the documents, few.

        Raises:
            InvalidQuery: the client must change the query.
            DeadlineExceeded: the time ran out.
            BackendUnavailable: the backend cannot answer now.
        """
        ...

    async def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """The stored documents of those ids that the index holds."""
        ...

    async def watermark(self, deadline: Deadline) -> Watermark:
        """How far the live generation has read, as a search that is begun now would find it.

        It costs the same however large the index is, and says nothing about what else a search needs.

        Raises:
            DeadlineExceeded: the time ran out.
            BackendUnavailable: the backend cannot answer now.
        """
        ...

    async def stats(self, deadline: Deadline) -> IndexStats:
        """The state of the live generation; answering proves that the backend works."""
        ...

    async def close(self) -> None:
        """Let go of files, threads and connections."""
        ...


class BlockingSearcher(Protocol):
    """`SearchBackend` over one generation, for any number of threads."""

    def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        ...

    def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        ...

    def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        ...

    def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        ...

    def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        ...

    def watermark(self) -> Watermark:
        """As `SearchBackend.watermark`."""
        ...

    def stats(self) -> IndexStats:
        """As `SearchBackend.stats`."""
        ...

    def dump(self) -> BlockingDump:
        """All documents of the newest snapshot; commits that come meanwhile are not in it.

        Raises:
            BackendUnavailable: the index cannot be read now.
        """
        ...

    def close(self) -> None:
        """As `SearchBackend.close`."""
        ...
