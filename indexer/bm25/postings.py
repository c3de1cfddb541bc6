"""What a bm25 segment holds beside the documents.

    posting.*            see `indexer.segment.postings`; keys: see `indexer.bm25.keys`; the number: occurrences; the
                         steps of a dense list are saturation, in steps of `BOUND_STEP`, up
    bm25.lengths         terms of each document, repetitions included                                  uint32
    bm25.ranks           place of each document in the order of ids, for ties                          uint32
    bm25.block_bounds    of each full block, the largest saturation, in steps of `BOUND_STEP`, up      uint8
    bm25.list_bounds     the same of each list                                                         uint8
    bm25.average         the average length that the bounds were computed with, the bits of a float64  uint64

A bound holds for any average length up to the one it was computed with, since saturation grows with the average. For a
larger one it grows at most as the average does, so readers scale it by that ratio.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import Analyzer, get_analyzer
from indexer.analysis.interning import TermInterner, Vocabulary
from indexer.bm25.bounds import BoundsBuilder
from indexer.bm25.frequencies import TermFrequencies
from indexer.bm25.inversion import Runs, invert
from indexer.bm25.keys import keys_of_all
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
from streams.document import Document, DocumentId

INDEX: Final = "bm25"

FORMAT_VERSION: Final = 6
"""Of a bm25 generation: segment files, manifest, analysis and the weight of a title.

6: columns of values, for facets.
5: flags and rows behind dense lists.
4: segment files of format 3; flags of documents behind frequent lists.
3: segment files of format 2.
2: postings packed in blocks, with bounds of blocks and lists; ranks of ids.
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


class Bm25Contents:
    """The bm25 sections of a segment.

    Args:
        file: of the segment.

    Attributes:
        postings: by term.
        block_bounds: for kernels, checked with the list, uint8.
        list_bounds: the same of each list.
        average: average length that the bounds were computed with.
    """

    def __init__(self, file: SegmentFile) -> None:
        self._lengths = file.section("bm25.lengths", np.uint32)
        self._id_ranks = file.section("bm25.ranks", np.uint32)
        block_bounds = file.section("bm25.block_bounds", np.uint8)
        list_bounds = file.section("bm25.list_bounds", np.uint8)
        self.block_bounds, self.list_bounds = block_bounds.unchecked, list_bounds.unchecked
        self.postings = PostingLists(file, columns=_COLUMNS, beside_lists=[list_bounds], beside_blocks=[block_bounds])
        self.average = float(file.array("bm25.average", np.uint64).view(np.float64)[0])
        if len(self._lengths) != len(self._id_ranks):
            raise GenerationUnusable(f"{file.path}: bm25 sections that do not fit each other")

    @property
    def lengths(self) -> npt.NDArray[np.uint32]:
        """Terms of each document, shape (documents,), uint32."""
        return self._lengths.whole()

    @property
    def id_ranks(self) -> npt.NDArray[np.uint32]:
        """Place of each document in the order of ids, shape (documents,), uint32."""
        return self._id_ranks.whole()


class Bm25Engine:
    """`SegmentEngine` of the bm25 method.

    Args:
        analyzer: makes the terms.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._frequencies = TermFrequencies()

    def stripped(self, document: Document) -> Document:
        """As `SegmentEngine.stripped`; terms do not give a text back."""
        return document

    def restored(self, document: Document, contents: Bm25Contents, ordinal: int) -> Document:  # noqa: ARG002 - part of the seam
        """As `SegmentEngine.restored`."""
        return document

    def build(self, builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
        """As `SegmentEngine.build`."""
        interner = TermInterner(self._analyzer)
        runs = [interner.runs(_text(document)) for document in documents]
        chunk, lengths = _inverted(runs, interner.vocabulary())
        _write(builder, [chunk], lengths, [document.id for document in documents])

    def terms(self, document: Document) -> list[str]:
        """The terms of a document as scores see them: the title's as often as it counts, then the body's."""
        return self._analyzer.terms(document.title) * TITLE_REPETITIONS + self._analyzer.terms(document.body)

    def open(self, file: SegmentFile) -> Bm25Contents:
        """As `SegmentEngine.open`."""
        return Bm25Contents(file)

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[Bm25Contents]]) -> None:
        """As `SegmentEngine.merge`."""
        lists = [source.contents.postings for source in sources]
        chunks = merge_chunks(list(zip(lists, merged_ordinals(sources), strict=True)))
        lengths = np.concatenate([source.contents.lengths[source.kept] for source in sources])
        ids = [source.documents.id(each) for source in sources for each in np.flatnonzero(source.kept).tolist()]
        _write(builder, chunks, lengths, ids)

    def summarise(self, segments: Sequence[Segment[Bm25Contents]]) -> bytes:
        """The statistics of all live documents.

        Exact, and quick where segments were only added since the last call (see `TermFrequencies`). Counting all anew
        takes a sort of the dictionaries' keys, and a pass over the postings of segments with deletions: about 0.1 s
        for a million terms.
        """
        return msgspec.msgpack.encode(
            Statistics(
                documents=sum(int(np.count_nonzero(segment.kept)) for segment in segments),
                terms=sum(int(segment.contents.lengths[segment.kept].sum(dtype=np.int64)) for segment in segments),
                frequencies=self._frequencies.of([(each, each.contents.postings) for each in segments]),
            )
        )


def read_statistics(summary: bytes) -> Statistics:
    """Read what `Bm25Engine.summarise` wrote; nothing is what an index without a commit has."""
    return msgspec.msgpack.decode(summary, type=Statistics) if summary else Statistics()


def _text(document: Document) -> str:
    """What has the terms that `Bm25Engine.terms` gives."""
    return "\n".join([document.title] * TITLE_REPETITIONS + [document.body])


def _inverted(
    runs: Sequence[npt.NDArray[np.uint32]], vocabulary: Vocabulary
) -> tuple[PostingChunk, npt.NDArray[np.uint32]]:
    """The posting lists of documents, and how many terms each has.

    Args:
        runs: of each document, by number.
        vocabulary: the terms of the runs.
    """
    places, keys = _places(vocabulary.terms)
    terms = places[vocabulary.numbers]
    held = terms >= 0
    inverted = invert(
        Runs(
            runs=np.concatenate(runs),
            document_starts=np.cumsum([0, *map(len, runs)]),
            terms=terms[held],
            run_starts=np.concatenate([[0], np.cumsum(held)])[vocabulary.starts],
        ),
        len(keys),
    )
    key_of_each = np.repeat(keys, np.diff(inverted.list_starts))
    return PostingChunk(key_of_each, inverted.postings.T), inverted.lengths


def _places(terms: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
    """The place of each term's key among all of them in order, -1 for no term; and these keys."""
    places = np.full(len(terms), -1, np.int32)
    held = np.fromiter(map(len, terms), np.int64, len(terms)) > 0
    distinct, places[held] = np.unique(keys_of_all(terms)[held], return_inverse=True)
    return places, distinct


def _write(
    builder: SegmentFileBuilder,
    chunks: Iterable[PostingChunk],
    lengths: npt.NDArray[np.uint32],
    ids: Sequence[DocumentId],
) -> None:
    bounds = BoundsBuilder(lengths)
    write_postings(builder, chunks, columns=_COLUMNS, documents=len(lengths), on_lists=bounds.add)
    bounds.write(builder)
    builder.add("bm25.lengths", lengths)
    ranks = np.empty(len(ids), np.uint32)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids), dtype=np.uint32)
    builder.add("bm25.ranks", ranks)
