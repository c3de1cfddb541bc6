"""What every engine on segments answers alike: the newest documents, documents by id, the state of the index."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from indexer.backend import Answer, IndexStats, Query
from indexer.deadline import Deadline
from indexer.dump import BlockingDump, DumpedDocument, dumped
from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.generation import Generation
from indexer.segment.counting import count_values
from indexer.segment.documents import hash_ids
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.newest import newest_hits
from indexer.segment.pages import SegmentDamaged
from indexer.segment.snapshot import Snapshot, SnapshotReader
from indexer.segment.suspects import mark_suspect
from indexer.segment.tombstones import Flags
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

C = TypeVar("C")


class SegmentedSearcher(ABC, Generic[C]):
    """`BlockingSearcher` over one generation; an engine adds how to search a snapshot.

    Args:
        generation: what to search.
        engine: that wrote it.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation, engine: SegmentEngine[C]) -> None:
        self._name = generation.name
        self._created_at = generation.created_at
        self._engine = engine
        self._directory = generation.directory
        try:
            self._reader = SnapshotReader(generation.directory, engine)
        except SegmentDamaged as exc:
            mark_suspect(self._directory, exc)
            raise

    def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        try:
            return self._search(self._reader.current(), query)
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        deadline.check()
        try:
            snapshot = self._reader.current()
            hits, total = newest_hits(snapshot.segments, limit, only)
            return Answer(hits, total, snapshot.manifest.watermark)
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        asked.deadline.check()
        try:
            snapshot = self._reader.current()
            counted, whole = self._matching_or_all(snapshot, asked)
            missing = len(asked.ids) - _mark(snapshot, asked.ids, counted)
            columns = [segment.facets for segment in snapshot.segments]
            fields = count_values(list(zip(columns, counted, strict=True)), asked)
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc
        documents = sum(int(np.count_nonzero(each)) for each in counted)
        return FacetCounts(fields, documents, missing, whole)

    def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        query.deadline.check()
        try:
            snapshot = self._reader.current()
            located = {ids[place]: (segment, ordinal) for place, segment, ordinal in _located(snapshot, ids)}
            return dict(self._explain(snapshot, query, located))
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        found: dict[DocumentId, StoredDocument] = {}
        if not ids:
            return found
        try:
            for place, segment, ordinal in _located(self._reader.current(), ids):
                deadline.check()
                found[ids[place]] = self._restored(segment, ordinal, segment.documents.document(ordinal))
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc
        return found

    def watermark(self) -> Watermark:
        """As `SearchBackend.watermark`."""
        return self._current().manifest.watermark

    def stats(self) -> IndexStats:
        """As `SearchBackend.stats`."""
        snapshot = self._current()
        size = sum(segment.entry.size_bytes for segment in snapshot.segments)
        return IndexStats(self._name, snapshot.documents, size, snapshot.manifest.watermark, self._created_at)

    def pin(self) -> None:
        """Stay with the newest snapshot of now; commits are followed no longer."""
        self._reader.pin()

    def documents(self) -> Iterator[StoredDocument]:
        """Every document of the newest snapshot, a block of them in memory at a time.

        Raises:
            GenerationUnusable: files are damaged.
        """
        return self._stored(self._reader.current())

    def dump(self) -> BlockingDump:
        """As `BlockingSearcher.dump`."""
        snapshot = self._current()
        return BlockingDump(snapshot.manifest.watermark, self._dumped(snapshot))

    def verify(self) -> None:
        """Read every file of the newest snapshot and hold it against its checksums.

        Raises:
            GenerationUnusable: naming the file and the section that changed.
        """
        for segment in self._reader.current().segments:
            segment.file.verify()

    def close(self) -> None:
        """As `SearchBackend.close`."""
        self._reader.close()

    @abstractmethod
    def _search(self, snapshot: Snapshot[C], query: Query) -> Answer:
        """Answer a query from one snapshot."""

    @abstractmethod
    def _matching(self, snapshot: Snapshot[C], query: Query) -> tuple[list[Flags], bool]:
        """Which documents match and may be found, by ordinal, of each segment; and whether time sufficed for all."""

    @abstractmethod
    def _explain(
        self, snapshot: Snapshot[C], query: Query, located: Mapping[DocumentId, tuple[Segment[C], int]]
    ) -> Iterator[tuple[DocumentId, Explanation]]:
        """Explain the scores of documents of which segment and ordinal are known."""

    def _matching_or_all(self, snapshot: Snapshot[C], asked: FacetQuery) -> tuple[list[Flags], bool]:
        if asked.text is not None:
            return self._matching(snapshot, Query(asked.text, 1, asked.deadline, asked.only))
        if not asked.everything:
            return [np.zeros(len(segment.documents), np.bool_) for segment in snapshot.segments], True
        return [_passing(segment, asked.only) for segment in snapshot.segments], True

    def _dumped(self, snapshot: Snapshot[C]) -> Iterator[DumpedDocument]:
        try:
            yield from map(dumped, self._stored(snapshot))
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def _stored(self, snapshot: Snapshot[C]) -> Iterator[StoredDocument]:
        for segment in snapshot.segments:
            for ordinal, stored in segment.documents.all(segment.kept):
                yield self._restored(segment, ordinal, stored)

    def _restored(self, segment: Segment[C], ordinal: int, stored: StoredDocument) -> StoredDocument:
        try:
            document = self._engine.restored(stored.document, segment.contents, ordinal)
        except UnicodeDecodeError as exc:
            raise GenerationUnusable(f"{segment.file.path}: document {ordinal} cannot be read: {exc}") from exc
        return StoredDocument(document, stored.position)

    def _current(self) -> Snapshot[C]:
        """The newest snapshot.

        Raises:
            BackendUnavailable: it cannot be read now.
        """
        try:
            return self._reader.current()
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def _unavailable(self, fault: GenerationUnusable) -> BackendUnavailable:
        """What the caller is told of a fault, and the writer too if it can be put right there."""
        if isinstance(fault, SegmentDamaged):
            mark_suspect(self._directory, fault)
        return BackendUnavailable(str(fault))


def _passing(segment: Segment[C], only: Filter) -> Flags:
    """A copy: documents that are asked for by their ids are added to it."""
    passing = segment.passing(only)
    return np.array(segment.kept if passing is None else passing)


def _mark(snapshot: Snapshot[C], ids: Sequence[DocumentId], counted: Sequence[Flags]) -> int:
    """Count documents by their ids too; and how many of them there are."""
    flags = {id(segment): each for segment, each in zip(snapshot.segments, counted, strict=True)}
    held = 0
    for _, segment, ordinal in _located(snapshot, ids):
        flags[id(segment)][ordinal] = True
        held += 1
    return held


def _located(snapshot: Snapshot[C], ids: Sequence[DocumentId]) -> Iterator[tuple[int, Segment[C], int]]:
    """Place in `ids`, segment and ordinal of each document that there is."""
    hashes = hash_ids(ids)
    for segment in snapshot.segments:
        for place, ordinal in segment.documents.find(ids, hashes):
            if segment.is_live(ordinal):
                yield place, segment, ordinal
