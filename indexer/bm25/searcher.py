"""Answers bag-of-words queries, by the kernel of `indexer.bm25.answering`."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Hit, Query
from indexer.bm25.answering import AT, HIT_FIELDS, STATES, TOO_LONG, UNCHECKED, State, answer, space_for
from indexer.bm25.blocks import SCORE_UNITS
from indexer.bm25.explaining import TermStatistics
from indexer.bm25.postings import Bm25Contents, Bm25Engine, read_statistics, term_keys
from indexer.bm25.scoring import Scorer
from indexer.bm25.table import SegmentFlags, segment_flags, table_of
from indexer.bm25.topk import POSTINGS_A_CALL
from indexer.errors import GenerationUnusable
from indexer.explanation import Explanation
from indexer.filtering import Filter
from indexer.generation import Generation
from indexer.segment import ABSENT, Segment, SegmentedSearcher, Snapshot
from indexer.segment.tombstones import Flags
from streams.document import DocumentId

_ID_BYTES: Final = 4096
"""Room for ids, to begin with."""

Numbers = npt.NDArray[np.int64]


class Bm25Searcher(SegmentedSearcher[Bm25Contents]):
    """`BlockingSearcher` of the bm25 method.

    Args:
        generation: what to search.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation) -> None:
        self._analyzer = get_analyzer(generation.settings.analyzer)
        self._newest: _SearchedSnapshot | None = None
        super().__init__(generation, Bm25Engine(self._analyzer))

    def close(self) -> None:
        """As `SearchBackend.close`."""
        self._newest = None
        super().close()

    def _search(self, snapshot: Snapshot[Bm25Contents], query: Query) -> Answer:
        repetitions = _repetitions(self._analyzer.terms(query.text))
        hits, total = list[Hit](), 0
        scorer = _scorer(snapshot.manifest.summary)
        if repetitions and scorer is not None:
            hits, total = self._searched(snapshot).search(repetitions, scorer, query)
        return Answer(hits, total, snapshot.manifest.watermark)

    def _matching(self, snapshot: Snapshot[Bm25Contents], query: Query) -> tuple[list[Flags], bool]:
        keys = term_keys(dict.fromkeys(self._analyzer.terms(query.text)))
        return [_with_any(segment, keys, query) for segment in snapshot.segments], True

    def _explain(
        self,
        snapshot: Snapshot[Bm25Contents],
        query: Query,
        located: Mapping[DocumentId, tuple[Segment[Bm25Contents], int]],
    ) -> Iterator[tuple[DocumentId, Explanation]]:
        repetitions = _repetitions(self._analyzer.terms(query.text))
        scorer = _scorer(snapshot.manifest.summary)
        if not repetitions or scorer is None:
            return
        terms = TermStatistics(snapshot.segments, repetitions, query.deadline)
        for document_id, document in located.items():
            explained = terms.explain(document, scorer)
            if explained.details:
                yield document_id, explained

    def _searched(self, snapshot: Snapshot[Bm25Contents]) -> "_SearchedSnapshot":
        newest = self._newest
        if newest is None or newest.snapshot is not snapshot:
            self._newest = newest = _SearchedSnapshot(snapshot)
        return newest


class _SearchedSnapshot:
    """A snapshot as the kernel takes it.

    Attributes:
        snapshot: as given.
    """

    def __init__(self, snapshot: Snapshot[Bm25Contents]) -> None:
        self.snapshot = snapshot
        # The largest first: its best hits raise the threshold for the others.
        self._segments = sorted(snapshot.segments, key=lambda segment: -len(segment.documents))
        self._table = table_of(
            [each.contents for each in self._segments],
            [each.live for each in self._segments],
            [each.documents.id_row() for each in self._segments],
        )
        self._address = self._table.header.ctypes.data

    def search(self, repetitions: Mapping[str, int], scorer: Scorer, query: Query) -> tuple[list[Hit], int]:
        """The best hits, and how many documents that may be found have a term.

        Args:
            repetitions: how often each term is asked for.
            scorer: of the snapshot.
            query: how many hits, of which documents, and when to stop.
        """
        limit, terms = query.limit, len(repetitions)
        keys, times = term_keys(repetitions), np.fromiter(repetitions.values(), np.float64, terms)
        allowed = self._allowed(query.only)
        space = _work.space(space_for(len(self._segments), terms, limit))
        state, texts = np.zeros(STATES, np.int64), _work.texts(0)
        numbers = (self._address, allowed.address, scorer.documents, scorer.average_length, scorer.floor)
        query.deadline.check()
        while what := answer(*numbers, keys, times, limit, POSTINGS_A_CALL, state, space, texts):
            if what == UNCHECKED:
                self._table.check(*state[[AT.checked_in, AT.page, AT.place]].tolist())
            elif what == TOO_LONG:
                texts = _work.texts(int(state[AT.id_bytes]))
            query.deadline.check()
        done = State(*state.tolist())
        return _hits(space[: done.found * HIT_FIELDS].tolist(), texts[: done.id_bytes].tobytes(), limit), done.total

    def _allowed(self, only: Filter) -> SegmentFlags:
        """The documents that may be found."""
        if not only:
            return self._table.live
        return segment_flags([segment.passing(only) for segment in self._segments])


def _repetitions(terms: Iterable[str]) -> dict[str, int]:
    """How often each term is asked for, in the order in which they come."""
    repetitions = dict[str, int]()
    for term in terms:
        repetitions[term] = repetitions.get(term, 0) + 1
    return repetitions


def _with_any(segment: Segment[Bm25Contents], keys: npt.NDArray[np.uint64], query: Query) -> Flags:
    """The documents of a segment that have a term and may be found."""
    postings = segment.contents.postings
    held = np.zeros(len(segment.documents), np.bool_)
    places, _ = postings.locate(keys)
    for place in places[places != ABSENT].tolist():
        query.deadline.check()
        held[postings.at(place)[:, 0]] = True
    passing = segment.passing(query.only)
    return held if passing is None else held & passing


def _hits(numbers: list[int], texts: bytes, limit: int) -> list[Hit]:
    """Hits as `answer` gives them; of those with the worst score, the first by id."""
    ends = numbers[1::HIT_FIELDS]
    ids = [DocumentId(texts[start:end].decode()) for start, end in pairwise([0, *ends])]
    ranked = sorted(zip(numbers[::HIT_FIELDS], ids, strict=True))
    return [Hit(document_id, negated / -SCORE_UNITS) for negated, document_id in ranked[:limit]]


class _Work(threading.local):
    """What the kernel fills: arrays for each thread, since new ones for each query would be paged in each time."""

    def __init__(self) -> None:
        self._space = np.empty(0, np.int64)
        self._texts = np.empty(_ID_BYTES, np.uint8)

    def space(self, size: int) -> Numbers:
        """Room for so many numbers, at least."""
        if len(self._space) < size:
            self._space = np.empty(size, np.int64)
        return self._space

    def texts(self, size: int) -> npt.NDArray[np.uint8]:
        """Room for ids of so many bytes together, at least."""
        if len(self._texts) < size:
            self._texts = np.empty(size, np.uint8)
        return self._texts


_work = _Work()


@lru_cache(maxsize=2)
def _scorer(summary: bytes) -> Scorer | None:
    """The scorer of a snapshot, None for one without a term; the newest and the one before are at hand."""
    try:
        statistics = read_statistics(summary)
        return Scorer(statistics) if statistics.terms else None
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"the statistics in the manifest cannot be read: {exc}") from exc
