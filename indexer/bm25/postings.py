"""What a bm25 segment holds beside the documents.

    posting.*       see `indexer.segment.postings`; key: the 64-bit BLAKE2b of a term; columns: ordinal, occurrences
    bm25.lengths    terms of each document, repetitions included    uint32

Keys of one width make lookups, merges and counts plain numpy operations, and a bag-of-words query never needs the
spelling of a term that it does not have itself. Two terms with the same hash would count as one: among ten million
terms the chance that any two do is 3 in a million.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import count
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import Analyzer, get_analyzer
from indexer.bm25.scoring import TITLE_REPETITIONS, Statistics
from indexer.errors import GenerationUnusable
from indexer.generation import GenerationSettings
from indexer.segment import (
    PostingChunk,
    PostingLists,
    Segment,
    SegmentFile,
    SegmentFileBuilder,
    merge_chunks,
    merged_ordinals,
    write_postings,
)
from streams.document import Document

INDEX: Final = "bm25"

FORMAT_VERSION: Final = 1
"""Of a bm25 generation: segment files, manifest, analysis and the weight of a title.

1: postings of (ordinal, occurrences), lengths; a title counts three times.
"""

DEFAULT_ANALYZER: Final = "english"

_COLUMNS: Final = 2


def generation_settings(analyzer: str = DEFAULT_ANALYZER) -> GenerationSettings:
    """What a bm25 generation is built with.

    Args:
        analyzer: a name that `indexer.analysis` knows.

    Raises:
        SettingsError: it does not.
    """
    return GenerationSettings(INDEX, FORMAT_VERSION, get_analyzer(analyzer).name)


def term_key(term: str) -> int:
    """The key of a term's posting list."""
    return int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), "little")


class Bm25Contents(msgspec.Struct, frozen=True):
    """The bm25 sections of a segment.

    Attributes:
        postings: by term.
        lengths: terms of each document, shape (documents,), uint32.
    """

    postings: PostingLists
    lengths: npt.NDArray[np.uint32]


class Bm25Engine:
    """`SegmentEngine` of the bm25 method.

    Args:
        analyzer: makes the terms.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    def build(self, builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
        """As `SegmentEngine.build`."""
        numbers: defaultdict[str, int] = defaultdict(count().__next__)
        terms = [np.array([numbers[term] for term in self.terms(each)], np.uint64) for each in documents]
        lengths = np.array([len(each) for each in terms], np.uint32)
        keys = np.array([term_key(term) for term in numbers], np.uint64)
        write_postings(builder, [_occurrences(terms, keys)], columns=_COLUMNS)
        builder.add("bm25.lengths", lengths)

    def terms(self, document: Document) -> list[str]:
        """The terms of a document as scores see them: the title's as often as it counts, then the body's."""
        return self._analyzer.terms(document.title) * TITLE_REPETITIONS + self._analyzer.terms(document.body)

    def open(self, file: SegmentFile) -> Bm25Contents:
        """As `SegmentEngine.open`."""
        contents = Bm25Contents(PostingLists(file), file.array("bm25.lengths", np.uint32))
        if contents.postings.postings.shape[1] != _COLUMNS:
            raise GenerationUnusable(f"{file.path}: postings are not {_COLUMNS} columns wide")
        return contents

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[Bm25Contents]]) -> None:
        """As `SegmentEngine.merge`."""
        lists = [source.contents.postings for source in sources]
        chunks = merge_chunks(list(zip(lists, merged_ordinals(sources), strict=True)))
        write_postings(builder, chunks, columns=_COLUMNS)
        builder.add("bm25.lengths", np.concatenate([source.contents.lengths[source.kept] for source in sources]))

    def summarise(self, segments: Sequence[Segment[Bm25Contents]]) -> bytes:
        """The statistics of all live documents.

        Exact by recomputing them all: a sort of the dictionaries' keys, and a pass over the postings of segments with
        deletions. About 0.1 s for a million terms.
        """
        return msgspec.msgpack.encode(
            Statistics(
                documents=sum(int(np.count_nonzero(segment.kept)) for segment in segments),
                terms=sum(int(segment.contents.lengths[segment.kept].sum(dtype=np.int64)) for segment in segments),
                frequencies=_frequencies(segments),
            )
        )


def read_statistics(summary: bytes) -> Statistics:
    """Read what `Bm25Engine.summarise` wrote; nothing is what an index without a commit has."""
    return msgspec.msgpack.decode(summary, type=Statistics) if summary else Statistics()


def _occurrences(terms: Iterable[npt.NDArray[np.uint64]], keys: npt.NDArray[np.uint64]) -> PostingChunk:
    """Count the terms of each document.

    Args:
        terms: the terms of each document, as places in `keys`.
        keys: of the distinct terms.
    """
    order = np.argsort(keys)
    rank = np.empty_like(order, np.uint64)
    rank[order] = np.arange(len(keys), dtype=np.uint64)
    rows = [(rank[each] << np.uint64(32)) | np.uint64(ordinal) for ordinal, each in enumerate(terms)]
    pairs, occurrences = np.unique(np.concatenate(rows), return_counts=True)
    ordinals = (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    postings = np.column_stack((ordinals, occurrences.astype(np.uint32)))
    return PostingChunk(keys[order][(pairs >> np.uint64(32)).astype(np.intp)], postings)


def _frequencies(segments: Sequence[Segment[Bm25Contents]]) -> dict[int, int]:
    keys = np.concatenate([np.empty(0, np.uint64), *(segment.contents.postings.keys for segment in segments)])
    counts = np.concatenate([np.empty(0, np.int64), *(s.contents.postings.lengths(s.live) for s in segments)])
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=~keys[order][:1]))
    by_term = np.add.reduceat(counts[order], begins) if len(begins) else counts
    frequencies, terms = np.unique(by_term[by_term > 0], return_counts=True)
    return dict(zip(frequencies.tolist(), terms.tolist(), strict=True))
