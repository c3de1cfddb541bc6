"""What an engine adds to a segment: its sections beside the documents, and how to merge and read them.

`SegmentedWriter`, `SnapshotReader` and `SegmentedSearcher` do the rest, alike for every engine.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from indexer.errors import GenerationUnusable
from indexer.filtering import Filter
from indexer.segment.documents import StoredDocuments
from indexer.segment.facets import FacetColumns
from indexer.segment.file import SegmentFile, SegmentFileBuilder
from indexer.segment.filters import FilteredDocuments
from indexer.segment.manifest import SegmentEntry
from indexer.segment.pages import SegmentDamaged
from indexer.segment.postings import GONE, Table
from indexer.segment.tombstones import Flags, read_tombstones
from streams.document import Document

C = TypeVar("C")


class Segment(Generic[C]):
    """A segment, opened, in one state of its deletions.

    Args:
        entry: what the manifest says of it.
        file: its file.
        engine: that wrote it.
        live: by ordinal, true for documents that are not deleted; None when none is.

    Attributes:
        entry: what the manifest says of it.
        file: its file.
        documents: its documents.
        filters: what they are filtered by.
        facets: what they are counted by.
        contents: what the engine keeps in it.
        live: by ordinal, true for documents that are not deleted; None when none is.
    """

    def __init__(
        self, entry: SegmentEntry, file: SegmentFile, engine: "SegmentEngine[C]", *, live: Flags | None
    ) -> None:
        self.entry = entry
        self.file = file
        self.documents = StoredDocuments(file)
        self.filters = FilteredDocuments(file)
        self.facets = FacetColumns(file)
        self.contents = engine.open(file)
        self.live = live
        if {len(self.documents), len(self.filters), len(self.facets)} != {entry.documents}:
            raise GenerationUnusable(f"{file.path} holds {len(self.documents)} documents, not {entry.documents}")

    @classmethod
    def open(cls, directory: Path, entry: SegmentEntry, engine: "SegmentEngine[C]") -> Self:
        """Map a segment's file and read its deletions.

        Raises:
            FileNotFoundError: a file is gone, perhaps because a newer manifest no longer names it.
            GenerationUnusable: a file is not what the manifest means.
        """
        file = SegmentFile(directory / entry.name, entry.stamp)
        return cls(entry, file, engine, live=_read_live(directory, entry))

    def with_deletions(self, directory: Path, entry: SegmentEntry) -> Self:
        """The same segment under a newer entry, its file not opened again."""
        return self if entry == self.entry else self.in_state(entry, _read_live(directory, entry))

    def in_state(self, entry: SegmentEntry, live: Flags | None) -> Self:
        """The same segment in another state of its deletions, its file not opened again."""
        other = copy(self)
        other.entry, other.live = entry, live
        return other

    @property
    def kept(self) -> Flags:
        """By ordinal, true for documents that are not deleted."""
        return np.ones(len(self.documents), np.bool_) if self.live is None else self.live

    def is_live(self, ordinal: int) -> bool:
        """Whether a document is not deleted."""
        return self.live is None or bool(self.live[ordinal])

    def passing(self, only: Filter) -> Flags | None:
        """By ordinal, true for documents that pass a filter and are not deleted; None when all are such."""
        if not only:
            return self.live
        passing = self.filters.passing(only)
        return passing if self.live is None else passing & self.live


class SegmentEngine(Protocol[C]):
    """An engine's part of a segment. `C` is what it reads from one."""

    def stripped(self, document: Document) -> Document:
        """The document without what the engine's own sections hold of it: this is what is stored."""
        ...

    def restored(self, document: Document, contents: C, ordinal: int) -> Document:
        """The document that `stripped` was given.

        Raises:
            UnicodeDecodeError: what the sections hold is damaged.
        """
        ...

    def build(self, builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
        """Write the engine's sections for new documents; their order gives the ordinals."""
        ...

    def open(self, file: SegmentFile) -> C:
        """Map the engine's sections, without reading them through."""
        ...

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[C]]) -> None:
        """Write the engine's sections for the live documents of several segments, one after another.

        Called in another thread than the rest, which may build and summarise meanwhile.
        """
        ...

    def summarise(self, segments: Sequence[Segment[C]]) -> bytes:
        """Statistics of all live documents, which the manifest carries to the readers."""
        ...


def merged_ordinals(sources: Sequence[Segment[C]]) -> list[Table]:
    """For each segment of a merge, the new ordinal of each of its documents, `GONE` for deleted ones, uint32."""
    renumbered: list[Table] = []
    following = 0
    for segment in sources:
        kept = segment.kept
        ordinals = np.full(len(kept), GONE, np.uint32)
        count = int(np.count_nonzero(kept))
        ordinals[kept] = np.arange(following, following + count, dtype=np.uint32)
        renumbered.append(ordinals)
        following += count
    return renumbered


def _read_live(directory: Path, entry: SegmentEntry) -> Flags | None:
    if entry.tombstones is None:
        return None
    try:
        return ~read_tombstones(directory / entry.tombstones.name, entry.tombstones, entry.documents)
    except GenerationUnusable as exc:
        raise SegmentDamaged(directory / entry.name, str(exc)) from exc
