"""The reader's side: committed states of a generation, followed with one `stat` a query.

A snapshot is what one manifest names, opened. Whoever holds it can go on searching it while newer ones come: its files
stay mapped, and on disk, until the last reference is gone.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final, Generic, TypeVar

from indexer.errors import GenerationUnusable
from indexer.segment.engine import Segment, SegmentEngine
from indexer.segment.manifest import SEGMENT_SUFFIX, Manifest, ManifestReader, SegmentEntry

_ATTEMPTS: Final = 20
"""Newer manifests to follow in a row before giving up: a writer would have to commit each time between two calls."""

C = TypeVar("C")


class Snapshot(Generic[C]):
    """One committed state of an index.

    Attributes:
        manifest: that names it.
        segments: oldest documents first.
        documents: how many there are, the deleted ones left out.
    """

    def __init__(self, manifest: Manifest, segments: Sequence[Segment[C]]) -> None:
        self.manifest = manifest
        self.segments = tuple(segments)
        self.documents = sum(segment.entry.live_documents for segment in segments)


class SnapshotReader(Generic[C]):
    """Gives the newest snapshot to any number of threads.

    Args:
        directory: of the generation.
        engine: that wrote it.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, directory: Path, engine: SegmentEngine[C]) -> None:
        self._directory = directory
        self._engine = engine
        self._lock = Lock()
        self._read: ManifestReader | None = None
        self._snapshot: Snapshot[C] = Snapshot(Manifest(), ())
        self._pinned = False
        self.current()

    def current(self) -> Snapshot[C]:
        """The newest snapshot; opens only the files that the one before did not have.

        Raises:
            GenerationUnusable: files are damaged, gone or of another format.
        """
        if self._pinned or self._is_current(self._read):
            return self._snapshot
        with self._lock:
            if not self._is_current(self._read):
                self._reload()
            return self._snapshot

    def pin(self) -> None:
        """Stay with the newest snapshot of now; commits are followed no longer."""
        self.current()
        self._pinned = True

    def close(self) -> None:
        """Let go of the newest snapshot; those that are in use stay readable."""
        with self._lock:
            self._read = None
            self._snapshot = Snapshot(Manifest(), ())

    def _is_current(self, read: ManifestReader | None) -> bool:
        try:
            return read is not None and not read.superseded
        except FileNotFoundError:
            return False

    def _reload(self) -> None:
        known = {segment.entry.name: segment for segment in self._snapshot.segments}
        missing = ""
        for _ in range(_ATTEMPTS):
            read = self._read_manifest()
            if read is None:
                return
            try:
                segments = [self._segment(known.get(entry.name), entry) for entry in read.manifest.segments]
            except FileNotFoundError as exc:
                if not self._is_current(read):
                    continue  # a newer commit has removed the file meanwhile
                missing = exc.filename
                break
            self._snapshot = Snapshot(read.manifest, segments)
            self._read = read
            return
        raise GenerationUnusable(f"{missing or self._directory} is gone; rebuild the index")

    def _read_manifest(self) -> ManifestReader | None:
        """The manifest in place; None before the first commit."""
        try:
            return ManifestReader(self._directory)
        except FileNotFoundError as exc:
            if self._read is not None or any(self._directory.glob(f"*{SEGMENT_SUFFIX}")):
                raise GenerationUnusable(f"{exc.filename} is gone; rebuild the index") from exc
            return None

    def _segment(self, opened: Segment[C] | None, entry: SegmentEntry) -> Segment[C]:
        if opened is not None and opened.entry.stamp == entry.stamp:
            return opened.with_deletions(self._directory, entry)
        return Segment.open(self._directory, entry, self._engine)
