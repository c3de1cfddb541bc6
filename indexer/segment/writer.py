"""Writes a generation of segments: changes are buffered, flushed as new segments, and appear with one manifest.

An upsert is a deletion of the older copy, wherever it lies, and an addition to the newest segment; both become visible
in the same commit. What a crash leaves behind is named by no manifest and is removed by the next writer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
import numpy as np

from indexer.durable import sync_directory
from indexer.errors import GenerationUnusable, IndexFault, WriterFailed
from indexer.generation import Generation
from indexer.segment.documents import DocumentRecord, encode_record, hash_ids, write_documents
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.file import SegmentFileBuilder
from indexer.segment.lock import WriterLock
from indexer.segment.manifest import (
    MANIFEST,
    SEGMENT_SUFFIX,
    TOMBSTONES_SUFFIX,
    Manifest,
    ManifestReader,
    SegmentEntry,
    write_manifest,
)
from indexer.segment.merging import SegmentSize, choose_merge
from indexer.segment.tombstones import Flags, write_tombstones
from indexer.writer import Rejection
from streams.change import Change, Position, StoredDocument, Upsert
from streams.watermark import Watermark

BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Text that is buffered before it is flushed to a segment, committed or not."""

C = TypeVar("C")


class SegmentedWriter(Generic[C]):
    """The one writer of a generation, for one thread.

    Args:
        generation: what to write.
        engine: what the segments hold beside the documents.
        buffer_bytes: text to buffer at most.

    Raises:
        WriterLocked: another process writes this generation.
        GenerationUnusable: the index is damaged; rebuild it.
    """

    def __init__(self, generation: Generation, engine: SegmentEngine[C], *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._directory = generation.directory
        self._engine = engine
        self._buffer_bytes = buffer_bytes
        self._lock = WriterLock(self._directory)
        self._failed = False
        try:
            self._manifest = _committed(self._directory)
            _remove_strays(self._directory, self._manifest)
            self._segments = [
                _OpenSegment(Segment.open(self._directory, entry, engine)) for entry in self._manifest.segments
            ]
        except FileNotFoundError as exc:
            self.close()
            raise GenerationUnusable(f"{exc.filename} is gone; rebuild the index") from exc
        except BaseException:
            self.close()
            raise
        self._next_segment = self._manifest.next_segment
        self._positions: dict[str, Position] = {}
        self._buffer: dict[str, Change] = {}
        self._buffered_bytes = 0

    def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`."""
        with self._first_fault_is_the_last():
            return ManifestReader(self._directory).manifest.watermark

    def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`; nothing is ever rejected."""
        with self._first_fault_is_the_last():
            for change in changes:
                if self._is_news(change):
                    self._put(change)
        return ()

    def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`; merges what the policy says on the way."""
        with self._first_fault_is_the_last():
            self._flush()
            self._merge()
            manifest = Manifest(
                commit=self._manifest.commit + 1,
                watermark=watermark,
                segments=tuple(self._write_deletions(segment) for segment in self._segments),
                next_segment=self._next_segment,
                summary=self._engine.summarise([segment.current() for segment in self._segments]),
            )
            sync_directory(self._directory)
            write_manifest(self._directory, manifest)
            for segment, entry in zip(self._segments, manifest.segments, strict=True):
                segment.committed(entry)
            self._manifest = manifest
            self._positions.clear()
        with contextlib.suppress(OSError):  # the commit is done; what stays behind is removed by the next one
            _remove_strays(self._directory, manifest)

    def close(self) -> None:
        """As `IndexWriter.close`."""
        self._failed = True
        self._lock.release()

    @contextlib.contextmanager
    def _first_fault_is_the_last(self) -> Iterator[None]:
        """After any exception the state in memory may not be the one on disk: nothing goes on from it."""
        if self._failed:
            raise WriterFailed(f"the writer of {self._directory} is closed; open another one")
        try:
            yield
        except BaseException as exc:
            self.close()
            if isinstance(exc, IndexFault) or not isinstance(exc, Exception):
                raise
            raise WriterFailed(f"writing {self._directory} failed: {exc}") from exc

    def _is_news(self, change: Change) -> bool:
        position = change.position
        if position.offset < self._manifest.watermark.offsets.get(position.partition, 0):
            return False
        applied = self._positions.get(change.id)
        return applied is None or not _overtakes(applied, position)

    def _put(self, change: Change) -> None:
        self._positions[change.id] = change.position
        replaced = self._buffer.pop(change.id, None)
        self._buffered_bytes += _text_bytes(change) - (_text_bytes(replaced) if replaced else 0)
        self._buffer[change.id] = change
        if self._buffered_bytes >= self._buffer_bytes:
            self._flush()

    def _flush(self) -> None:
        """Turn the buffer into deletions of older copies and one new segment."""
        changes, self._buffer, self._buffered_bytes = list(self._buffer.values()), {}, 0
        overtaken = self._delete_older(changes)
        upserts = [change for change in changes if isinstance(change, Upsert) and change.id not in overtaken]
        if not upserts:
            return
        with self._new_segment() as builder:
            records = (encode_record(StoredDocument(upsert.document, upsert.position)) for upsert in upserts)
            count = write_documents(builder, records)
            self._engine.build(builder, [upsert.document for upsert in upserts])
            self._segments.append(self._opened(builder, count))

    def _delete_older(self, changes: Sequence[Change]) -> set[str]:
        """Delete the copies that changes replace.

        Returns:
            ids of changes that are no news: the copy that is here is as new, or newer.
        """
        if not changes:
            return set()
        overtaken: set[str] = set()
        ids = [change.id for change in changes]
        hashes = hash_ids(ids)
        for segment in self._segments:
            for place, ordinal in segment.find(ids, hashes):
                if _overtakes(segment.opened.documents.position(ordinal), changes[place].position):
                    overtaken.add(ids[place])
                else:
                    segment.delete(ordinal)
        return overtaken

    def _merge(self) -> None:
        self._segments = [segment for segment in self._segments if not segment.dead.all()]
        while chosen := choose_merge([segment.size() for segment in self._segments]):
            sources = [segment.current() for segment in self._segments[chosen]]
            for source in sources:
                source.file.verify()
            with self._new_segment() as builder:
                count = write_documents(builder, _live_records(sources))
                self._engine.merge(builder, sources)
                self._segments[chosen] = [self._opened(builder, count)]

    def _new_segment(self) -> SegmentFileBuilder:
        path = self._directory / f"{self._next_segment:08d}{SEGMENT_SUFFIX}"
        self._next_segment += 1
        return SegmentFileBuilder(path)

    def _opened(self, builder: SegmentFileBuilder, documents: int) -> "_OpenSegment[C]":
        entry = SegmentEntry(builder.path.name, builder.finish(), documents)
        return _OpenSegment(Segment.open(self._directory, entry, self._engine))

    def _write_deletions(self, segment: "_OpenSegment[C]") -> SegmentEntry:
        entry = segment.opened.entry
        if not segment.changed:
            return entry
        stem = entry.name.removesuffix(SEGMENT_SUFFIX)
        path = self._directory / f"{stem}-{self._manifest.commit + 1:08d}{TOMBSTONES_SUFFIX}"
        return msgspec.structs.replace(entry, tombstones=write_tombstones(path, segment.dead))


class _OpenSegment(Generic[C]):
    """A segment while it is written to: only its deletions ever change, and those in memory until the commit."""

    def __init__(self, opened: Segment[C]) -> None:
        self.opened = opened
        self.dead: Flags = ~opened.kept
        self.changed = False

    def find(self, ids: Sequence[str], hashes: np.ndarray) -> Iterator[tuple[int, int]]:
        """As `StoredDocuments.find`, for documents that are not deleted."""
        return ((place, found) for place, found in self.opened.documents.find(ids, hashes) if not self.dead[found])

    def delete(self, ordinal: int) -> None:
        self.dead[ordinal] = True
        self.changed = True

    def current(self) -> Segment[C]:
        """The segment with the deletions that are not committed yet."""
        live = ~self.dead if self.dead.any() else None
        return Segment(self.opened.entry, self.opened.file, self.opened.documents, self.opened.contents, live=live)

    def size(self) -> SegmentSize:
        return SegmentSize(self.opened.entry.stamp.size, len(self.dead), int(np.count_nonzero(self.dead)))

    def committed(self, entry: SegmentEntry) -> None:
        self.opened.entry = entry
        self.changed = False


def _committed(directory: Path) -> Manifest:
    """The committed state; an empty one is committed first in a generation that has none."""
    try:
        return ManifestReader(directory).manifest
    except FileNotFoundError as exc:
        if any(directory.glob(f"*{SEGMENT_SUFFIX}")):
            raise GenerationUnusable(f"{directory / MANIFEST} is gone; rebuild the index") from exc
        write_manifest(directory, Manifest())
        return Manifest()


def _remove_strays(directory: Path, manifest: Manifest) -> None:
    """Remove the files that no committed state needs; who has them mapped keeps them until letting go."""
    for path in directory.iterdir():
        if path.suffix in (SEGMENT_SUFFIX, TOMBSTONES_SUFFIX) and path.name not in manifest.files:
            path.unlink()


def _live_records(sources: Sequence[Segment[C]]) -> Iterator[DocumentRecord]:
    return chain.from_iterable(source.documents.records(source.kept) for source in sources)


def _overtakes(known: Position, position: Position) -> bool:
    """Whether what is known of a document is not older; versions in different partitions have no order but arrival."""
    return known.partition == position.partition and known.offset >= position.offset


def _text_bytes(change: Change) -> int:
    """About what a change takes in the buffer; a character counts as one byte."""
    return 256 + (len(change.document.title) + len(change.document.body) if isinstance(change, Upsert) else 0)
