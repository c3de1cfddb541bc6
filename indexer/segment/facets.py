"""The values that the documents of a segment are counted by, in columns, alike for every engine (`indexer.facets`).

    facet.names   the names of all values, sorted, one after another                   uint8
    facet.begins  where each name begins, and the end of the last                      uint64, names + 1
    facet.hashes  64-bit BLAKE2b of each, as `facet`                                    uint64, names
    facet.starts  the first value of each document in the next, and their number       uint64, documents + 1
    facet.values  place among the names of each value of each document                 uint32

Since names are sorted, the values of one field have places next to each other.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.deadline import Deadline
from indexer.errors import GenerationUnusable
from indexer.facets import facet_names, prefix_of
from indexer.segment.file import SegmentFile, SegmentFileBuilder
from indexer.segment.postings import GONE, Table
from indexer.segment.tombstones import Flags
from streams.document import Document

_DOCUMENTS_A_TIME: Final = 1 << 18
"""Whose values are in memory at a time, as a count goes on."""

Counts = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class FacetColumns:
    """Reads the facet sections of a segment file; whatever does raises `SegmentDamaged` for what was not written.

    Args:
        file: of the segment.
    """

    def __init__(self, file: SegmentFile) -> None:
        self._names = file.section("facet.names", np.uint8)
        self._begins = file.section("facet.begins", np.uint64)
        self._hashes = file.section("facet.hashes", np.uint64)
        self._starts = file.section("facet.starts", np.uint64)
        self._values = file.section("facet.values", np.uint32)
        fits = len(self._begins) - 1 == len(self._hashes) and self._begins.last() == len(self._names)
        if not fits or self._starts.last() != len(self._values):
            raise GenerationUnusable(f"{file.path}: facet sections that do not fit each other")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def name(self, place: int) -> bytes:
        """The name at a place."""
        return bytes(self._names.row(self._begins, place))

    def hashes(self, first: int, end: int) -> Hashes:
        """Hashes of the names from one place to before another, uint64."""
        return self._hashes.part(first, end)

    def places(self, field: str) -> tuple[int, int]:
        """Where the names of a field begin, and where they end."""
        prefix = prefix_of(field)
        return self._place(prefix), self._place(prefix[:-1] + bytes([prefix[-1] + 1]))

    def count(self, counted: Flags, spans: Sequence[tuple[int, int]], deadline: Deadline) -> list[Counts]:
        """How many of some documents have each value.

        Args:
            counted: which documents, by ordinal.
            spans: places of names, as (first, end).
            deadline: of the search.

        Returns:
            for each span the counts of its names, int64.
        """
        counts = [np.zeros(end - first, np.int64) for first, end in spans]
        ordinals, starts = np.flatnonzero(counted), self._starts.whole()
        values = self._values.whole()
        for part in range(0, len(ordinals), _DOCUMENTS_A_TIME):
            deadline.check()
            held = values[_ranges(starts, ordinals[part : part + _DOCUMENTS_A_TIME])]
            for number, (first, end) in enumerate(spans):
                inside = held[(held >= first) & (held < end)] - np.uint32(first)
                counts[number] += np.bincount(inside, minlength=end - first)
        return counts

    def copied(self, renumbered: Table) -> "_Source":
        """What a merge takes of this segment.

        Args:
            renumbered: new ordinal of each document, `GONE` for those left out.
        """
        kept = np.flatnonzero(renumbered != GONE)
        starts = self._starts.whole()
        values = self._values.whole()[_ranges(starts, kept)]
        used = np.unique(values)
        names = (self.name(place) for place in used.tolist())
        lengths = (starts[kept + 1] - starts[kept]).astype(np.int64)
        return _Source(names, np.searchsorted(used, values), lengths, len(used))

    def _place(self, name: bytes) -> int:
        """The place of the first name that is not less."""
        low, high = 0, len(self._hashes)
        while low < high:
            middle = (low + high) // 2
            if self.name(middle) < name:
                low = middle + 1
            else:
                high = middle
        return low


class _Source:
    """Names, sorted, and of some documents the values, as places among these names."""

    def __init__(self, names: Iterable[bytes], values: npt.NDArray[np.int64], lengths: Counts, count: int) -> None:
        self.names = names
        self.values = values
        self.lengths = lengths
        self.places = np.zeros(count, np.uint32)
        """Of each name in the new segment, filled as they are written."""


def write_facets(builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
    """Write the facet sections for new documents; their order gives the ordinals."""
    each = [facet_names(document) for document in documents]
    names = sorted(set().union(*each))
    places = {name: place for place, name in enumerate(names)}
    values = np.array([places[name] for held in each for name in sorted(held)], np.int64)
    _write(builder, [_Source(names, values, np.array([len(held) for held in each], np.int64), len(names))])


def merge_facets(builder: SegmentFileBuilder, sources: Sequence[tuple[FacetColumns, Table]]) -> None:
    """Write the facet sections for the documents of several segments, one after another; names are streamed.

    Args:
        builder: of the new segment.
        sources: as for `merge_chunks`.
    """
    _write(builder, [columns.copied(renumbered) for columns, renumbered in sources])


def _write(builder: SegmentFileBuilder, sources: Sequence[_Source]) -> None:
    lengths: list[int] = []
    hashes: list[int] = []
    with builder.section("facet.names", np.uint8) as section:
        for name in _merged_names(sources):
            section.write(name)
            lengths.append(len(name))
            hashes.append(_hash(name))
    builder.add("facet.begins", np.array([0, *accumulate(lengths)], np.uint64))
    builder.add("facet.hashes", np.array(hashes, np.uint64))
    documents = np.concatenate([np.empty(0, np.int64), *(source.lengths for source in sources)])
    builder.add("facet.starts", np.concatenate([np.zeros(1, np.uint64), np.cumsum(documents).astype(np.uint64)]))
    with builder.section("facet.values", np.uint32) as section:
        for source in sources:
            section.write(source.places[source.values])


def _merged_names(sources: Sequence[_Source]) -> Iterator[bytes]:
    """Each name once, in order; tells the sources its place."""
    numbered = (_numbered(number, source.names) for number, source in enumerate(sources))
    last, place = None, -1
    for name, number, at in heapq.merge(*numbered):
        if name != last:
            last, place = name, place + 1
            yield name
        sources[number].places[at] = place


def _numbered(number: int, names: Iterable[bytes]) -> Iterator[tuple[bytes, int, int]]:
    return ((name, number, at) for at, name in enumerate(names))


def _hash(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8, person=b"facet").digest(), "little")


def _ranges(starts: Hashes, rows: npt.NDArray[np.intp]) -> Counts:
    """The numbers from the start of each of some rows to that of the next, one after another, int64."""
    first = starts[rows].astype(np.int64)
    lengths = starts[rows + 1].astype(np.int64) - first
    ends = np.cumsum(lengths)
    whole: Counts = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(first - ends + lengths, lengths)
    return whole
