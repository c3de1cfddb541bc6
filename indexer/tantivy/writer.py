"""Writes a Tantivy generation.

After any exception a Tantivy writer is in an unknown state: a second `commit` may report success and drop the batch.
So the first fault is the last: the writer lets go of everything, and the caller opens another one and replays.

Tantivy never looks at its checksums, so the writer reads all files through once after it has opened them, and again
before it gives up on what it has read. What it finds ends it for good: the caller has the index built anew.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from threading import Event
from typing import Final

import msgspec
import tantivy

from indexer.deadline import Deadline
from indexer.durable import sync_directory
from indexer.errors import GenerationUnusable, IndexFault, WatermarkConflict, WriterFailed, WriterLocked
from indexer.facets import facet_names
from indexer.filtering import labels_of, published_us
from indexer.generation import Generation, check_present
from indexer.scrub import Scrub
from indexer.tantivy.hit_ids import packed
from indexer.tantivy.inspection import inspect
from indexer.tantivy.marker import (
    MARKER_ID,
    committed_watermarks,
    marker_document,
    recover_watermark,
    was_committed,
    write_sidecar,
)
from indexer.tantivy.schema import (
    ID,
    LABELS,
    OFFSET,
    POSITION,
    PUBLISHED,
    STORED,
    TIMESTAMP,
    VALUES,
    index_exists,
    is_engine_fault,
    open_index,
    segments_directory,
)
from indexer.writer import Rejection
from streams.change import Change, Position, StoredDocument, Upsert
from streams.watermark import Watermark

LOCK_TIMEOUT_SECONDS: Final = 10.0

RENEWED_AFTER: Final = 2_000
"""Commits until the writer opens everything anew, as `indexer.tantivy.searcher.REOPENED_AFTER` says why: seldom, for
it waits for the merges that go on. It has grown by 3 MB then."""

_MEMORY_BYTES: Final = 64_000_000
_NO_ID: Final = ""
"""Which no document has."""

_LOCK_PROBE_SECONDS: Final = 0.05

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredDocument)


class TantivyWriter:
    """The one writer of a generation, for one thread.

    Args:
        generation: what to write.
        lock_timeout: seconds to wait for another writer to let go, as one that was just killed does.
        renewed_after: as `RENEWED_AFTER`.

    Raises:
        WriterLocked: another process writes this generation.
        GenerationUnusable: the index is damaged; rebuild it.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
        renewed_after: int = RENEWED_AFTER,
    ) -> None:
        self._generation = generation
        self._renewed_after = renewed_after
        self._commits = 0
        self._pending: dict[str, Position] = {}
        self._lock_timeout = lock_timeout
        self._scrub: Scrub | None = None
        self._index: tantivy.Index | None = None
        self._writer: tantivy.IndexWriter | None = None
        try:
            self._watermark = self._open(_open_or_create(generation))
            self._scrub = Scrub(partial(inspect, generation))
        except BaseException:
            self.close()
            raise

    def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`."""
        with self._first_fault_is_the_last(), self._reading():
            return self._recover()

    def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`; nothing is ever rejected."""
        with self._first_fault_is_the_last():
            self._renew_if_due()
            with self._reading():
                overtaken = self._overtaken(changes)
            for change in changes:
                if change.id not in overtaken and self._is_news(change):
                    self._put(change)
        return ()

    def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.repair`; nothing is ever rejected."""
        with self._first_fault_is_the_last():
            for change in changes:
                self._put(change)
        return ()

    def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`; returns once the watermark was read back from the committed index."""
        with self._first_fault_is_the_last():
            self._check_scrubbed()
            self._engine().delete_documents_by_term(ID, MARKER_ID)
            self._engine().add_document(marker_document(watermark))
            self._engine().commit()
            # Tantivy syncs the directory before it renames its manifest into place, not after.
            sync_directory(segments_directory(self._generation))
            self._check_committed(watermark)
            write_sidecar(self._generation, watermark)
        self._watermark = watermark
        self._pending.clear()
        self._commits += 1

    def check(self) -> None:
        """As `IndexWriter.check`; tells what was found when all files were read through.

        Raises:
            GenerationUnusable: a file is damaged.
        """
        with self._first_fault_is_the_last():
            check_present(self._generation)
            self._check_scrubbed()

    def close(self) -> None:
        """As `IndexWriter.close`."""
        # The lock lives as long as the last reference to the writer.
        self._writer = None
        self._index = None
        if self._scrub is not None:
            self._scrub.close()
            self._scrub = None

    @contextlib.contextmanager
    def _first_fault_is_the_last(self) -> Iterator[None]:
        try:
            yield
        except BaseException as exc:
            self.close()
            if isinstance(exc, IndexFault) or not is_engine_fault(exc):
                raise
            raise WriterFailed(f"tantivy writer of {self._generation.directory}: {exc}") from exc

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Where Tantivy trips over what it reads, look at the checksums: another writer would trip alike.

        Raises:
            GenerationUnusable: a file is damaged.
        """
        try:
            yield
        except BaseException as exc:
            if is_engine_fault(exc) and not isinstance(exc, IndexFault):
                inspect(self._generation, lambda: None)
            raise

    def _open(self, index: tantivy.Index) -> Watermark:
        """Take the lock, and read what was committed until then."""
        self._index, self._schema = index, index.schema
        self._writer = _lock(index, self._generation, self._lock_timeout)
        _use_up_first_stamp(self._writer)
        with self._reading():
            index.reload()
            return self._recover()

    def _renew_if_due(self) -> None:
        if self._commits < self._renewed_after or self._pending:
            return
        self._engine().wait_merging_threads()
        self._writer = self._index = None
        committed = self._open(open_index(self._generation))
        if committed != self._watermark:  # the lock was free for a moment
            raise WatermarkConflict(f"{self._generation.directory} is at {committed}: another writer committed")
        self._commits = 0

    def _engine(self) -> tantivy.IndexWriter:
        """Use the result at once: a variable in some frame of a traceback would keep the lock."""
        if self._writer is None:
            raise WriterFailed("the tantivy writer is closed; open another one")
        return self._writer

    def _snapshot(self) -> tantivy.Searcher:
        if self._index is None:
            raise WriterFailed("the tantivy writer is closed; open another one")
        return self._index.searcher()

    def _recover(self) -> Watermark:
        return recover_watermark(self._generation, self._schema, self._snapshot())

    def _put(self, change: Change) -> None:
        self._engine().delete_documents_by_term(ID, change.id)
        if isinstance(change, Upsert):
            self._engine().add_document(_tantivy_document(change))
        self._pending[change.id] = change.position

    def _is_news(self, change: Change) -> bool:
        position = change.position
        if position.offset < self._watermark.offsets.get(position.partition, 0):
            return False
        pending = self._pending.get(change.id)
        return pending is None or not _overtakes(pending, position)

    def _overtaken(self, changes: Sequence[Change]) -> set[str]:
        """Those changes' documents that the index holds in the same or a newer version; none, except on a replay."""
        if not changes:
            return set()
        ids = tantivy.Query.term_set_query(self._schema, ID, [change.id for change in changes])
        oldest = min(change.position.offset for change in changes)
        newer = tantivy.Query.range_query(self._schema, OFFSET, tantivy.FieldType.Integer, oldest)
        both = tantivy.Query.boolean_query([(tantivy.Occur.Must, ids), (tantivy.Occur.Must, newer)])
        searcher = self._snapshot()
        hits = searcher.search(both, limit=len(changes)).hits
        indexed = [_decoder.decode(searcher.doc(address)[STORED][0]) for _, address in hits]
        positions = {stored.document.id: stored.position for stored in indexed}
        return {c.id for c in changes if c.id in positions and _overtakes(positions[c.id], c.position)}

    def _check_scrubbed(self) -> None:
        if self._scrub is not None:
            self._scrub.check()

    def _check_committed(self, watermark: Watermark) -> None:
        if self._index is not None:
            self._index.reload()
        committed = committed_watermarks(self._schema, self._snapshot())
        if committed != [watermark]:
            raise WriterFailed(f"tantivy reported a commit that it did not make: expected {watermark}, got {committed}")


def _open_or_create(generation: Generation) -> tantivy.Index:
    segments = segments_directory(generation)
    segments.mkdir(exist_ok=True)
    sync_directory(generation.directory)
    if was_committed(generation) and not index_exists(generation):
        raise GenerationUnusable(f"{segments} has lost its files; rebuild the index")
    return open_index(generation)


def _lock(index: tantivy.Index, generation: Generation, timeout: float) -> tantivy.IndexWriter:
    """Take the writer lock, which Tantivy can only try for: a file lock gives no notice when it is free."""
    deadline = Deadline.after(timeout)
    pause = Event()
    while True:
        try:
            return index.writer(heap_size=_MEMORY_BYTES, num_threads=1)
        except BaseException as exc:
            if "LockBusy" not in str(exc):
                if not is_engine_fault(exc):
                    raise
                raise WriterFailed(f"tantivy cannot write {generation.directory}: {exc}") from exc
            if deadline.remaining() == 0:
                raise WriterLocked(f"another process writes {generation.directory}") from exc
        pause.wait(_LOCK_PROBE_SECONDS)


def _use_up_first_stamp(writer: tantivy.IndexWriter) -> None:
    """Let the first deletion of a writer be one of nothing, for it may be lost.

    Tantivy numbers what is done, and a writer begins with the number of the last commit rather than the one behind it.
    A merge that begins before the writer's first commit applies the deletions up to that number, but skips segments
    that have deletions of that commit already; and it goes on behind the number for all of them (`advance_deletes` and
    `merge` of Tantivy 0.26). A document whose first update that was would be there twice.
    """
    writer.delete_documents_by_term(ID, _NO_ID)


def _overtakes(known: Position, position: Position) -> bool:
    """Whether what is known of a document is not older; versions in different partitions have no order but arrival."""
    return known.partition == position.partition and known.offset >= position.offset


def _tantivy_document(change: Upsert) -> tantivy.Document:
    source, position = change.document, change.position
    document = tantivy.Document()
    document.add_text(ID, source.id)
    document.add_text("title", source.title)
    document.add_text("body", source.body)
    document.add_text("source", source.source)
    document.add_text("language", source.language)
    for tag in source.tags:
        document.add_text("tags", tag)
    document.add_bytes(STORED, _encoder.encode(StoredDocument(source, position)))
    document.add_integer(TIMESTAMP, position.timestamp_ms)
    document.add_integer(OFFSET, position.offset)
    if (place := packed(position)) is not None:
        document.add_unsigned(POSITION, place)
    for label in sorted(labels_of(source)):
        document.add_unsigned(LABELS, label)
    for name in sorted(facet_names(source)):
        document.add_text(VALUES, name.decode())
    published = published_us(source)
    if published is not None:
        document.add_integer(PUBLISHED, published)
    return document
