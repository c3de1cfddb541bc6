"""Answers queries over one Tantivy generation, for any number of threads.

Each commit replaces Tantivy's manifest, so one `stat` tells whether there is something new to see.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Final, NamedTuple

import msgspec
import tantivy

from indexer.backend import Answer, IndexStats, Query
from indexer.deadline import Deadline
from indexer.dump import BlockingDump, DumpedDocument, dumped
from indexer.errors import BackendUnavailable, GenerationUnusable, IndexFault
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.generation import Generation
from indexer.tantivy.compiler import Compiler
from indexer.tantivy.counting import count_matches, count_values, with_ids
from indexer.tantivy.dumping import stored_documents
from indexer.tantivy.explaining import explain
from indexer.tantivy.hit_ids import HitIds
from indexer.tantivy.marker import committed_watermarks, recover_watermark
from indexer.tantivy.narrowing import narrowed
from indexer.tantivy.ranking import best_hits
from indexer.tantivy.schema import (
    ID,
    MANIFEST,
    STORED,
    TIMESTAMP,
    index_exists,
    is_engine_fault,
    open_index,
    segments_directory,
)
from indexer.tantivy.syntax import understand
from streams.change import StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

REOPENED_AFTER: Final = 1_000
"""Commits that are seen until the index is opened anew. Tantivy (0.26) remembers the path of each file that it has
opened for as long as the index is open, gone or not: 200 bytes a file, and some seven files a commit."""

_FETCH_BATCH = 1_000

_decoder = msgspec.json.Decoder(StoredDocument)


class _Snapshot(NamedTuple):
    """One commit as it is seen, and what told it apart from the one before."""

    stamp: tuple[int, int]
    searcher: tantivy.Searcher
    watermark: Watermark


class TantivySearcher:
    """The searcher of a generation; sees each commit from the next call on.

    Args:
        generation: what to search.
        reopened_after: as `REOPENED_AFTER`.

    Raises:
        BackendUnavailable: its writer has not made it yet.
        GenerationUnusable: it is damaged; rebuild it.
    """

    def __init__(self, generation: Generation, *, reopened_after: int = REOPENED_AFTER) -> None:
        if not index_exists(generation):
            raise BackendUnavailable(f"{generation.directory} was not written yet")
        self._generation = generation
        self._created_at = generation.created_at
        self._manifest = os.fspath(segments_directory(generation) / MANIFEST)
        self._index = open_index(generation)
        self._reopened_after = reopened_after
        self._commits = 0
        self._schema = self._index.schema
        self._compiler = Compiler(self._schema, generation.settings.analyzer)
        self._lock = Lock()
        self._seen: _Snapshot | None = None
        self._ids = HitIds()

    def search(self, query: Query) -> Answer:
        """As `SearchBackend.search`."""
        understood = understand(query.text)
        with self._engine_faults():
            snapshot = self._snapshot()
            compiled = self._compiler.compile(understood.node, snapshot.searcher)
            query.deadline.check()
            among = narrowed(self._schema, compiled, query.only)
            total, hits = best_hits(snapshot.searcher, self._ids, among, query.limit)
            query.deadline.check()
        return Answer(hits, total, snapshot.watermark, detail=understood.detail)

    def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `SearchBackend.newest`."""
        with self._engine_faults():
            snapshot = self._snapshot()
            among = narrowed(self._schema, self._compiler.every_document(), only)
            deadline.check()
            total, hits = best_hits(snapshot.searcher, self._ids, among, limit, order_by=TIMESTAMP)
        return Answer(hits, total, snapshot.watermark)

    def count(self, asked: FacetQuery) -> FacetCounts:
        """As `SearchBackend.count`."""
        ids = [name for name in asked.ids if "\0" not in name]  # the marker's id is nobody's
        with self._engine_faults():
            snapshot = self._snapshot()
            among = narrowed(self._schema, self._among(asked, snapshot.searcher), asked.only)
            asked.deadline.check()
            query, held = with_ids(self._schema, snapshot.searcher, among, ids)
            fields, whole = count_values(snapshot.searcher, query, asked)
            documents = count_matches(snapshot.searcher, query)
        return FacetCounts(fields, documents, len(asked.ids) - held, whole)

    def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """As `SearchBackend.explain`."""
        wanted = [name for name in ids if "\0" not in name]  # the marker's id is nobody's
        with self._engine_faults():
            searcher = self._snapshot().searcher
            compiled = self._compiler.compile(understand(query.text).node, searcher)
            return dict(explain(searcher, self._schema, compiled, wanted, query.deadline))

    def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """As `SearchBackend.fetch`."""
        wanted = [name for name in ids if "\0" not in name]  # the marker's id is nobody's
        found: dict[DocumentId, StoredDocument] = {}
        with self._engine_faults():
            searcher = self._snapshot().searcher
            for start in range(0, len(wanted), _FETCH_BATCH):
                deadline.check()
                found |= self._stored(searcher, wanted[start : start + _FETCH_BATCH])
        return found

    def watermark(self) -> Watermark:
        """As `SearchBackend.watermark`."""
        with self._engine_faults():
            return self._snapshot().watermark

    def stats(self) -> IndexStats:
        """As `SearchBackend.stats`."""
        with self._engine_faults():
            snapshot = self._snapshot()
            markers = len(committed_watermarks(self._schema, snapshot.searcher))
            documents = snapshot.searcher.num_docs - markers
        return IndexStats(self._generation.name, documents, self._size_bytes(), snapshot.watermark, self._created_at)

    def dump(self) -> BlockingDump:
        """As `BlockingSearcher.dump`."""
        with self._engine_faults():
            snapshot = self._snapshot()
        return BlockingDump(snapshot.watermark, self._dumped(snapshot.searcher))

    def close(self) -> None:
        """As `SearchBackend.close`; Tantivy lets go of its files when nothing refers to them any more."""
        with self._lock:
            self._seen = None

    @contextlib.contextmanager
    def _engine_faults(self) -> Iterator[None]:
        try:
            yield
        except GenerationUnusable as exc:
            raise BackendUnavailable(str(exc)) from exc
        except BaseException as exc:
            if isinstance(exc, IndexFault) or not is_engine_fault(exc):
                raise
            raise BackendUnavailable(f"tantivy cannot read {self._generation.directory}: {exc}") from exc

    def _among(self, asked: FacetQuery, searcher: tantivy.Searcher) -> tantivy.Query:
        """What is counted besides ids, the filter left out."""
        if asked.text is not None:
            return self._compiler.compile(understand(asked.text).node, searcher)
        return self._compiler.every_document() if asked.everything else tantivy.Query.empty_query()

    def _dumped(self, searcher: tantivy.Searcher) -> Iterator[DumpedDocument]:
        with self._engine_faults():
            yield from map(dumped, stored_documents(self._schema, searcher))

    def _snapshot(self) -> _Snapshot:
        stamp = self._stamp()
        seen = self._seen
        if seen is not None and seen.stamp == stamp:
            return seen
        with self._lock:
            if self._commits >= self._reopened_after:
                self._index, self._commits = open_index(self._generation), 0
            self._index.reload()
            self._commits += 1
            searcher = self._index.searcher()
            watermark = recover_watermark(self._generation, self._schema, searcher)
            self._seen = _Snapshot(stamp, searcher, watermark)
            return self._seen

    def _stamp(self) -> tuple[int, int]:
        """Taken before the manifest is read, so that a commit in between is seen the next time."""
        status = os.stat(self._manifest)  # noqa: PTH116 - the hot path of every query
        return (status.st_ino, status.st_mtime_ns)

    def _stored(self, searcher: tantivy.Searcher, ids: Sequence[DocumentId]) -> dict[DocumentId, StoredDocument]:
        query = tantivy.Query.term_set_query(self._schema, ID, ids)
        hits = searcher.search(query, limit=len(ids), count=False).hits
        stored = (_decoder.decode(searcher.doc(address)[STORED][0]) for _, address in hits)
        return {document.document.id: document for document in stored}

    def _size_bytes(self) -> int:
        size = 0
        for path in segments_directory(self._generation).iterdir():
            with contextlib.suppress(FileNotFoundError):  # merged away since the folder was listed
                size += path.stat().st_size
        return size
