"""Answers bag-of-words queries by scoring every document that holds a term of the query."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Query
from indexer.bm25.postings import Bm25Contents, Bm25Engine, read_statistics, term_key
from indexer.bm25.scoring import Scorer
from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.segment import Matches, Segment, SegmentedSearcher, Snapshot, best_hits


class Bm25Searcher(SegmentedSearcher[Bm25Contents]):
    """`BlockingSearcher` of the bm25 method.

    Args:
        generation: what to search.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation) -> None:
        self._analyzer = get_analyzer(generation.settings.analyzer)
        super().__init__(generation, Bm25Engine(self._analyzer))

    def _search(self, snapshot: Snapshot[Bm25Contents], query: Query) -> Answer:
        terms = _query_terms(snapshot, self._analyzer.terms(query.text))
        matches: list[Matches] = []
        if terms:
            scorer = _scorer(snapshot.manifest.summary)
            for place, segment in enumerate(snapshot.segments):
                query.deadline.check()
                matches.append(_score(segment, [term.weighted(scorer, place) for term in terms], scorer))
        total = sum(len(each.ordinals) for each in matches)
        return Answer(best_hits(matches, query.limit), total, snapshot.manifest.watermark)


class _QueryTerm(msgspec.Struct, frozen=True):
    """A term of the query that some live document holds: how often it is asked for, and its postings by segment."""

    repetitions: int
    frequency: int
    postings: Sequence[npt.NDArray[np.uint32]]

    def weighted(self, scorer: Scorer, segment: int) -> tuple[float, npt.NDArray[np.uint32]]:
        return self.repetitions * scorer.idf(self.frequency), self.postings[segment]


def _query_terms(snapshot: Snapshot[Bm25Contents], terms: Sequence[str]) -> list[_QueryTerm]:
    found: list[_QueryTerm] = []
    for term, repetitions in Counter(terms).items():
        key = term_key(term)
        postings = [_live_postings(segment, key) for segment in snapshot.segments]
        if frequency := sum(map(len, postings)):
            found.append(_QueryTerm(repetitions, frequency, postings))
    return found


def _live_postings(segment: Segment[Bm25Contents], key: int) -> npt.NDArray[np.uint32]:
    postings = segment.contents.postings.find(key)
    return postings[segment.live_rows(postings[:, 0])]


def _score(
    segment: Segment[Bm25Contents], terms: Sequence[tuple[float, npt.NDArray[np.uint32]]], scorer: Scorer
) -> Matches:
    scores = np.zeros(len(segment.documents))
    matched = np.zeros(len(segment.documents), np.bool_)
    for weight, postings in terms:
        ordinals = postings[:, 0]
        scores[ordinals] += weight * scorer.saturation(postings[:, 1], segment.contents.lengths[ordinals])
        matched[ordinals] = True
    found = np.flatnonzero(matched)
    return Matches(segment.documents, found, scores[found])


@lru_cache(maxsize=2)
def _scorer(summary: bytes) -> Scorer:
    """The scorer of a snapshot; the newest and the one before are at hand."""
    try:
        return Scorer(read_statistics(summary))
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"the statistics in the manifest cannot be read: {exc}") from exc
