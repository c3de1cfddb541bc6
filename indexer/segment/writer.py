"""Writes a generation of segments: changes are buffered, flushed as new segments, and appear with one manifest.

An upsert is a deletion of the older copy, wherever it lies, and an addition to the newest segment; both become visible
in the same commit. What a crash leaves behind is named by no manifest and is removed by the next writer. Merges run
beside all that (`indexer.segment.merger`), and a commit waits for one only when there are too many segments; when
nothing was written for a while, more is merged (`indexer.segment.merging`). Damage that comes to light is set aside
(`indexer.segment.damage`).
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

from indexer.deadline import Clock
from indexer.durable import sync_directory
from indexer.errors import GenerationUnusable, IndexFault, WriterFailed
from indexer.generation import Generation, check_present
from indexer.scrub import Scrub
from indexer.segment.damage import open_sound, verify
from indexer.segment.documents import encode_record, hash_ids, write_documents
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.facets import write_facets
from indexer.segment.file import SegmentFileBuilder
from indexer.segment.filters import write_filters
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
from indexer.segment.merger import Merger
from indexer.segment.merging import MAX_SEGMENTS
from indexer.segment.open_segment import OpenSegment
from indexer.segment.pages import SegmentDamaged
from indexer.segment.suspects import take_suspects
from indexer.writer import Rejection
from streams.change import Change, Position, StoredDocument, Upsert
from streams.watermark import Watermark

BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Text that is buffered before it is flushed to a segment, committed or not."""

REST_AFTER_SECONDS: Final = 10.0
"""Without a change for so long, an index is at rest."""

_SIGNS_OF_DAMAGE: Final = (GenerationUnusable, LookupError, ValueError, OverflowError)
"""What reading a damaged section ends in, unless its checksum was looked at first."""

C = TypeVar("C")


class SegmentedWriter(Generic[C]):
    """The one writer of a generation, for one thread.

    Args:
        generation: what to write.
        engine: what the segments hold beside the documents.
        buffer_bytes: text to buffer at most.
        clock: monotonic, in seconds.

    Raises:
        WriterLocked: another process writes this generation.
        GenerationUnusable: the manifest is damaged; rebuild the index.
    """

    def __init__(
        self,
        generation: Generation,
        engine: SegmentEngine[C],
        *,
        buffer_bytes: int = BUFFER_BYTES,
        clock: Clock = time.monotonic,
    ) -> None:
        self._generation = generation
        self._directory = generation.directory
        self._engine = engine
        self._buffer_bytes = buffer_bytes
        self._failed = False
        with contextlib.ExitStack() as opening:
            opening.callback(WriterLock(self._directory).release)
            self._manifest, segments = open_sound(self._directory, _committed(self._directory), engine, {})
            _remove_strays(self._directory, self._manifest.files)
            self._segments = [OpenSegment(segment) for segment in segments]
            self._merger = Merger(self._directory, engine)
            opening.callback(self._merger.close)
            take_suspects(self._directory)  # all are read through now
            self._scrub = Scrub(partial(verify, [segment.file for segment in segments]))
            opening.callback(self._scrub.close)
            self._open = opening.pop_all()
        self._next_segment = self._manifest.next_segment
        self._positions: dict[str, Position] = {}
        self._buffer: dict[str, Change] = {}
        self._repaired: set[str] = set()
        self._buffered_bytes = 0
        self._clock = clock
        self._changed_at = clock()
        self._rested = False

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

    def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.repair`; nothing is ever rejected."""
        with self._first_fault_is_the_last():
            for change in changes:
                self._repaired.add(change.id)
                self._put(change)
        return ()

    def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`; takes in what was merged, and begins to merge what the policy says."""
        with self._first_fault_is_the_last():
            self._flush()
            self._take_merged()
            manifest = self._next_manifest(watermark)
            sync_directory(self._directory)
            write_manifest(self._directory, manifest)
            for segment, entry in zip(self._segments, manifest.segments, strict=True):
                segment.committed(entry)
            self._manifest = manifest
            self._positions.clear()
            self._repaired.clear()
            self._rested = False
            self._begin_merge()
            self._scrub_suspects()
        with contextlib.suppress(OSError):  # the commit is done; what stays behind is removed by the next one
            _remove_strays(self._directory, manifest.files | self._merger.files)

    def check(self) -> None:
        """As `IndexWriter.check`; tells what the scrub has found, and has it look at what readers stumbled over.

        When nothing was written for a while, it merges what an index at rest can do without.
        """
        with self._first_fault_is_the_last():
            check_present(self._generation)
            self._scrub_suspects()
            if not self._rest_is_due:
                return
            if not self._merger.done:
                self._begin_resting_merge()
                return
        self.commit(self._manifest.watermark)

    def settle(self) -> None:
        """Wait until there is nothing left to merge, and to verify; to be called right behind a commit."""
        while self._merger.busy:
            with self._first_fault_is_the_last():
                self._install(wait=True)
            self.commit(self._manifest.watermark)
        with self._first_fault_is_the_last():
            self._scrub.check(wait=True)

    def rest(self) -> None:
        """Wait until the index is as `check` leaves it in the end; to be called right behind a commit."""
        self.settle()
        while not self._rested:
            with self._first_fault_is_the_last():
                self._begin_resting_merge()
            self.settle()

    def close(self) -> None:
        """As `IndexWriter.close`; gives up the merge that runs."""
        self._failed = True
        self._open.close()

    @contextlib.contextmanager
    def _first_fault_is_the_last(self) -> Iterator[None]:
        """After any exception the state in memory may not be the one on disk: nothing goes on from it."""
        if self._failed:
            raise WriterFailed(f"the writer of {self._directory} is closed; open another one")
        try:
            self._scrub.check()
            yield
        except SegmentDamaged as exc:
            self._set_aside(exc)
        except _SIGNS_OF_DAMAGE as exc:
            self._look_for_damage()
            self.close()
            if isinstance(exc, IndexFault):
                raise
            raise WriterFailed(f"writing {self._directory} failed: {exc!r}") from exc
        except BaseException as exc:
            self.close()
            if isinstance(exc, IndexFault) or not isinstance(exc, Exception):
                raise
            raise WriterFailed(f"writing {self._directory} failed: {exc}") from exc

    def _scrub_suspects(self) -> None:
        """Read marked segments through, as they are found on disk; marks that come meanwhile wait for the next call."""
        if self._scrub.busy:
            return
        names = take_suspects(self._directory)
        entries = [entry for entry in self._manifest.segments if entry.name in names]
        if entries:
            files = [Segment.open(self._directory, entry, self._engine).file for entry in entries]
            self._scrub.begin(partial(verify, files))

    def _look_for_damage(self) -> None:
        """Read all segments through: another writer that failed alike would not get its own scrub done either."""
        try:
            verify([segment.opened.file for segment in self._segments], lambda: None)
        except SegmentDamaged as exc:
            self._set_aside(exc)

    def _set_aside(self, damage: SegmentDamaged) -> NoReturn:
        self._failed = True
        with contextlib.closing(self):
            open_sound(self._directory, self._manifest, self._engine, {damage.name: str(damage)})
        raise WriterFailed(f"{damage}; it was set aside, and the topic is to be read again") from damage

    def _is_news(self, change: Change) -> bool:
        position = change.position
        if position.offset < self._manifest.watermark.offsets.get(position.partition, 0):
            return False
        applied = self._positions.get(change.id)
        return applied is None or not _overtakes(applied, position)

    @property
    def _rest_is_due(self) -> bool:
        """Whether the last change was committed, and is a while ago; while segments are read through, they do not."""
        quiet = not self._positions and self._clock() - self._changed_at >= REST_AFTER_SECONDS
        return quiet and not self._rested and not self._scrub.busy

    def _put(self, change: Change) -> None:
        self._changed_at = self._clock()
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
            stored = (StoredDocument(self._engine.stripped(each.document), each.position) for each in upserts)
            count = write_documents(builder, map(encode_record, stored))
            documents = [upsert.document for upsert in upserts]
            write_filters(builder, documents)
            write_facets(builder, documents)
            self._engine.build(builder, documents)
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
                position = segment.opened.documents.position(ordinal)
                if ids[place] not in self._repaired and _overtakes(position, changes[place].position):
                    overtaken.add(ids[place])
                else:
                    segment.delete(ordinal)
        return overtaken

    def _take_merged(self) -> None:
        """Take in a merge that is done; with too many segments, wait for as many as it takes."""
        self._install(wait=False)
        while len(self._segments) > MAX_SEGMENTS:
            self._begin_merge()
            self._install(wait=True)

    def _install(self, *, wait: bool) -> None:
        self._merger.install(self._segments, wait=wait)
        self._segments = [each for each in self._segments if not each.dead.all() or self._merger.holds(each)]

    def _begin_merge(self) -> None:
        if self._merger.begin(self._segments, self._segment_name()):
            self._next_segment += 1

    def _begin_resting_merge(self) -> None:
        if self._merger.begin(self._segments, self._segment_name(), resting=True):
            self._next_segment += 1
        self._rested = not self._merger.busy

    def _next_manifest(self, watermark: Watermark) -> Manifest:
        commit = self._manifest.commit + 1
        return Manifest(
            commit=commit,
            watermark=watermark,
            segments=tuple(segment.write_deletions(self._directory, commit) for segment in self._segments),
            next_segment=self._next_segment,
            summary=self._engine.summarise([segment.current() for segment in self._segments]),
        )

    def _new_segment(self) -> SegmentFileBuilder:
        path = self._directory / self._segment_name()
        self._next_segment += 1
        return SegmentFileBuilder(path)

    def _segment_name(self) -> str:
        return f"{self._next_segment:08d}{SEGMENT_SUFFIX}"

    def _opened(self, builder: SegmentFileBuilder, documents: int) -> OpenSegment[C]:
        entry = SegmentEntry(builder.path.name, builder.finish(), documents)
        return OpenSegment(Segment.open(self._directory, entry, self._engine))


def _committed(directory: Path) -> Manifest:
    """The committed state; an empty one is committed first in a generation that has none."""
    try:
        return ManifestReader(directory).manifest
    except FileNotFoundError as exc:
        if any(directory.glob(f"*{SEGMENT_SUFFIX}")):
            raise GenerationUnusable(f"{directory / MANIFEST} is gone; rebuild the index") from exc
        write_manifest(directory, Manifest())
        return Manifest()


def _remove_strays(directory: Path, needed: frozenset[str]) -> None:
    """Remove the files that nothing needs any more; who has them mapped keeps them until letting go."""
    for path in directory.iterdir():
        if path.suffix in (SEGMENT_SUFFIX, TOMBSTONES_SUFFIX) and path.name not in needed:
            path.unlink()


def _overtakes(known: Position, position: Position) -> bool:
    """Whether what is known of a document is not older; versions in different partitions have no order but arrival."""
    return known.partition == position.partition and known.offset >= position.offset


def _text_bytes(change: Change) -> int:
    """About what a change takes in the buffer; a character counts as one byte."""
    return 256 + (len(change.document.title) + len(change.document.body) if isinstance(change, Upsert) else 0)
