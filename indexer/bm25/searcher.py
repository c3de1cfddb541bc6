"""Answers bag-of-words queries, segment after segment, by the kernel of `indexer.bm25.topk`."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Query
from indexer.bm25.blocks import SCORE_UNITS, Formula
from indexer.bm25.bounds import BOUND_STEP
from indexer.bm25.heap import Best
from indexer.bm25.postings import Bm25Contents, Bm25Engine, read_statistics, term_key
from indexer.bm25.scoring import K1, B, Scorer
from indexer.bm25.topk import NO_THRESHOLD, best_documents
from indexer.errors import GenerationUnusable
from indexer.filtering import Filter
from indexer.generation import Generation
from indexer.segment import ABSENT, Matches, Segment, SegmentedSearcher, Snapshot, best_hits

_ALL: Final = np.empty(0, np.uint8)


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
        terms = _QueryTerms(snapshot.segments, Counter(self._analyzer.terms(query.text)))
        if not terms.frequencies.any():
            return Answer([], 0, snapshot.manifest.watermark)
        scorer = _scorer(snapshot.manifest.summary)
        weights = terms.weights(scorer)
        best, total = _BestOfSegments(query.limit, query.only), 0
        # The largest first: its best hits raise the threshold for the others.
        for place in sorted(range(len(snapshot.segments)), key=lambda each: -len(snapshot.segments[each].documents)):
            query.deadline.check()
            total += best.add(snapshot.segments[place], terms.places[place], weights, scorer)
        return Answer(best_hits(best.matches, query.limit), total, snapshot.manifest.watermark)


class _QueryTerms:
    """The distinct terms of a query, looked up in each segment.

    Args:
        segments: of the snapshot.
        repetitions: how often each term is asked for.

    Attributes:
        places: of each segment, the terms' places in its dictionary, `ABSENT` for those that it lacks, int64.
        frequencies: live documents that have each term, shape (terms,), int64.
    """

    def __init__(self, segments: Sequence[Segment[Bm25Contents]], repetitions: Counter[str]) -> None:
        keys = np.array([term_key(term) for term in repetitions], np.uint64)
        self._repetitions = np.array([*repetitions.values()], np.float64)
        located = [_located(segment, keys) for segment in segments]
        self.places = [places for places, _ in located]
        self.frequencies = sum((found for _, found in located), np.zeros(len(keys), np.int64))

    def weights(self, scorer: Scorer) -> npt.NDArray[np.float64]:
        """Repetitions times idf of each term, shape (terms,), float64; 0 for terms that no live document has."""
        idf = [scorer.idf(frequency) if frequency else 0.0 for frequency in self.frequencies.tolist()]
        weights: npt.NDArray[np.float64] = self._repetitions * np.array(idf)
        return weights


class _BestOfSegments:
    """The best hits so far.

    Args:
        limit: how many are wanted.
        only: the documents that count.
    """

    def __init__(self, limit: int, only: Filter) -> None:
        self._limit = limit
        self._only = only
        self._scores = np.empty(0, np.int64)
        self.matches: list[Matches] = []

    def add(
        self,
        segment: Segment[Bm25Contents],
        places: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float64],
        scorer: Scorer,
    ) -> int:
        """Search a segment, and return how many of its documents have a term and count."""
        held = places != ABSENT
        if not held.all():
            places, weights = places[held], weights[held]
        if not len(places):
            return 0
        passing = segment.passing(self._only)
        if passing is not None and not passing.any():
            return 0
        best = Best.of(min(self._limit, len(segment.documents)))
        formula = _formula(segment.contents, scorer)
        allowed = _ALL if passing is None else passing.view(np.uint8)
        lists = segment.contents.scored_lists(places)
        total = best_documents(lists, formula, places, weights, allowed, self._threshold(), best)
        size = int(best.size[0])
        if size:
            self._scores = np.concatenate((self._scores, best.scores[:size]))
            self.matches.append(Matches(segment.documents, best.ordinals[:size], best.scores[:size] / SCORE_UNITS))
        return total

    def _threshold(self) -> int:
        """The score, in units, that a document must reach to be among the best."""
        if len(self._scores) < self._limit:
            return NO_THRESHOLD
        self._scores = np.partition(self._scores, -self._limit)[-self._limit :]
        return int(self._scores[0])


def _located(
    segment: Segment[Bm25Contents], keys: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of terms in the segment's dictionary, and how many live documents have each; both (terms,), int64."""
    postings, live = segment.contents.postings, segment.live
    places, frequencies = postings.locate(keys)
    if live is not None:
        held = places != ABSENT
        frequencies[held] = [postings.live_count(place, live) for place in places[held].tolist()]
    return places, frequencies


def _formula(contents: Bm25Contents, scorer: Scorer) -> Formula:
    stretched = max(1.0, scorer.average_length / contents.average)  # see `indexer.bm25.postings`
    return Formula(K1, K1 * (1 - B), K1 * B / scorer.average_length, BOUND_STEP * stretched)


@lru_cache(maxsize=2)
def _scorer(summary: bytes) -> Scorer:
    """The scorer of a snapshot; the newest and the one before are at hand."""
    try:
        return Scorer(read_statistics(summary))
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"the statistics in the manifest cannot be read: {exc}") from exc
