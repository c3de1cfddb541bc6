"""What every engine on segments answers alike: the newest documents, documents by id, the state of the index."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from indexer.backend import Answer, IndexStats, Query
from indexer.deadline import Deadline
from indexer.dump import BlockingDump, DumpedDocument, dumped
from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.filtering import EVERYTHING, Filter
from indexer.generation import Generation
from indexer.segment.documents import hash_ids
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.pages import SegmentDamaged
from indexer.segment.ranking import Matches, best_hits
from indexer.segment.snapshot import Snapshot, SnapshotReader
from indexer.segment.suspects import mark_suspect
from streams.change import StoredDocument
from streams.document import DocumentId

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
            matches = [_by_time(segment, only) for segment in snapshot.segments]
            total = sum(len(each.ordinals) for each in matches)
            return Answer(best_hits(matches, limit), total, snapshot.manifest.watermark)
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc

    def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        found: dict[DocumentId, StoredDocument] = {}
        if not ids:
            return found
        hashes = hash_ids(ids)
        try:
            for segment in self._reader.current().segments:
                for place, ordinal in segment.documents.find(ids, hashes):
                    if segment.is_live(ordinal):
                        deadline.check()
                        found[ids[place]] = self._restored(segment, ordinal, segment.documents.document(ordinal))
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc
        return found

    def stats(self) -> IndexStats:
        """As `SearchBackend.stats`."""
        try:
            snapshot = self._reader.current()
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc
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
        try:
            snapshot = self._reader.current()
        except GenerationUnusable as exc:
            raise self._unavailable(exc) from exc
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

    def _unavailable(self, fault: GenerationUnusable) -> BackendUnavailable:
        """What the caller is told of a fault, and the writer too if it can be put right there."""
        if isinstance(fault, SegmentDamaged):
            mark_suspect(self._directory, fault)
        return BackendUnavailable(str(fault))


def _by_time(segment: Segment[C], only: Filter) -> Matches:
    passing = segment.passing(only)
    ordinals = np.arange(len(segment.documents)) if passing is None else np.flatnonzero(passing)
    return Matches(segment.documents, ordinals, segment.documents.timestamps[ordinals].astype(np.float64))
