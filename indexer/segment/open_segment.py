"""A segment while it is written to: its file never changes, its deletions do, in memory until the next commit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.segment.engine import Segment
from indexer.segment.manifest import SEGMENT_SUFFIX, TOMBSTONES_SUFFIX, SegmentEntry
from indexer.segment.merging import SegmentSize
from indexer.segment.tombstones import Flags, write_tombstones

C = TypeVar("C")


class OpenSegment(Generic[C]):
    """A segment in the writer's hands, for the writer's thread only.

    Attributes:
        opened: the segment with the deletions it was opened with.
        dead: by ordinal, true for deleted documents, committed or not.
    """

    def __init__(self, opened: Segment[C]) -> None:
        self.opened = opened
        self.dead: Flags = ~opened.kept
        self._changed = False

    def find(self, ids: Sequence[str], hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """As `StoredDocuments.find`, for documents that are not deleted."""
        return ((place, found) for place, found in self.opened.documents.find(ids, hashes) if not self.dead[found])

    def delete(self, ordinals: int | npt.NDArray[np.uint32]) -> None:
        """Delete one document or several."""
        self.dead[ordinals] = True
        self._changed = True

    def current(self) -> Segment[C]:
        """The segment with the deletions of this moment, committed or not; later ones do not change it."""
        live = ~self.dead if self.dead.any() else None
        return self.opened.in_state(self.opened.entry, live)

    def size(self) -> SegmentSize:
        """What the merge policy looks at."""
        return SegmentSize(self.opened.entry.stamp.size, len(self.dead), int(np.count_nonzero(self.dead)))

    def write_deletions(self, directory: Path, commit: int) -> SegmentEntry:
        """What the manifest of a commit says of this segment; new deletions are written first."""
        entry = self.opened.entry
        if not self._changed:
            return entry
        path = directory / f"{entry.name.removesuffix(SEGMENT_SUFFIX)}-{commit:08d}{TOMBSTONES_SUFFIX}"
        return msgspec.structs.replace(entry, tombstones=write_tombstones(path, self.dead))

    def committed(self, entry: SegmentEntry) -> None:
        """Take note that a manifest with this entry is in place."""
        self.opened.entry = entry
        self._changed = False
