"""What the documents of a segment are filtered by, alike for every engine (see `indexer.filtering`).

filter.*          see `indexer.segment.postings`; key: a label; one column, the ordinal
filter.published  when each document was published, in microseconds since the epoch, or `UNDATED`  int64
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.filtering import Filter, Label, Period, labels_of, published_us
from indexer.segment.dictionary import ABSENT
from indexer.segment.file import SegmentFile, SegmentFileBuilder
from indexer.segment.postings import GONE, PostingChunk, PostingLists, Table, merge_chunks, write_postings
from indexer.segment.tombstones import Flags
from streams.document import Document

UNDATED: Final = np.iinfo(np.int64).min
"""Stands for no date; far before the year 1, which no date comes before."""

_NAME: Final = "filter"
_PUBLISHED: Final = "filter.published"
_COLUMNS: Final = 1

Moments = npt.NDArray[np.int64]


class FilteredDocuments:
    """Reads the filter sections of a segment file; whatever does raises `SegmentDamaged` for what was not written.

    Args:
        file: of the segment.

    Attributes:
        labels: posting lists by label.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.labels = PostingLists(file, name=_NAME, columns=_COLUMNS)
        self._published = file.section(_PUBLISHED, np.int64)

    def __len__(self) -> int:
        return len(self._published)

    @property
    def published(self) -> Moments:
        """When each document was published, or `UNDATED`, shape (documents,), int64."""
        return self._published.whole()

    def passing(self, only: Filter) -> Flags:
        """By ordinal, true for documents that pass a filter, deleted ones included."""
        passing = np.ones(len(self), np.bool_)
        for group in only.labels:
            passing &= self._with_any(group)
        if only.published is not None:
            passing &= self._within(only.published)
        return passing

    def _with_any(self, labels: Iterable[Label]) -> Flags:
        places, _ = self.labels.locate(np.array([*labels], np.uint64))
        held = np.zeros(len(self), np.bool_)
        for place in places[places != ABSENT].tolist():
            held[self.labels.at(place)[:, 0]] = True
        return held

    def _within(self, period: Period) -> Flags:
        first = max(period.first, UNDATED + 1)
        within: Flags = (self.published >= first) & (self.published <= period.last)
        return within


def write_filters(builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
    """Write the filter sections for new documents; their order gives the ordinals."""
    labels = [labels_of(document) for document in documents]
    keys = np.array([label for each in labels for label in each], np.uint64)
    ordinals = np.repeat(np.arange(len(documents), dtype=np.uint32), [len(each) for each in labels])
    order = np.argsort(keys, kind="stable")
    moments = [published_us(document) for document in documents]
    published = np.array([UNDATED if moment is None else moment for moment in moments], np.int64)
    _write(builder, [PostingChunk(keys[order], ordinals[order, np.newaxis])], published)


def merge_filters(builder: SegmentFileBuilder, sources: Sequence[tuple[FilteredDocuments, Table]]) -> None:
    """Write the filter sections for the documents of several segments, one after another.

    Args:
        builder: of the new segment.
        sources: as for `merge_chunks`.
    """
    chunks = merge_chunks([(documents.labels, ordinals) for documents, ordinals in sources])
    published = [documents.published[ordinals != GONE] for documents, ordinals in sources]
    _write(builder, chunks, np.concatenate(published))


def _write(builder: SegmentFileBuilder, chunks: Iterable[PostingChunk], published: Moments) -> None:
    write_postings(builder, chunks, name=_NAME, columns=_COLUMNS)
    builder.add(_PUBLISHED, published)
