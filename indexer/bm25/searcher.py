"""Answers bag-of-words queries, by the kernels of `indexer.bm25.lookup` and `indexer.bm25.topk`."""

from collections import Counter
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Hit, Query
from indexer.bm25.blocks import SCORE_UNITS
from indexer.bm25.lookup import located_terms
from indexer.bm25.postings import Bm25Contents, Bm25Engine, read_statistics, term_key
from indexer.bm25.scoring import Scorer
from indexer.bm25.table import SegmentFlags, segment_flags, table_of
from indexer.bm25.topk import HIT_COLUMNS, POSTINGS_A_CALL, ROOM, best_documents
from indexer.errors import GenerationUnusable
from indexer.filtering import Filter
from indexer.generation import Generation
from indexer.segment import SegmentedSearcher, Snapshot

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
        repetitions = Counter(self._analyzer.terms(query.text))
        hits, total = list[Hit](), 0
        if repetitions and snapshot.documents:
            hits, total = self._searched(snapshot).search(repetitions, query)
        return Answer(hits, total, snapshot.manifest.watermark)

    def _searched(self, snapshot: Snapshot[Bm25Contents]) -> "_SearchedSnapshot":
        newest = self._newest
        if newest is None or newest.snapshot is not snapshot:
            self._newest = newest = _SearchedSnapshot(snapshot)
        return newest


class _SearchedSnapshot:
    """A snapshot as kernels take it.

    Attributes:
        snapshot: as given.
    """

    def __init__(self, snapshot: Snapshot[Bm25Contents]) -> None:
        self.snapshot = snapshot
        # The largest first: its best hits raise the threshold for the others.
        self._segments = sorted(snapshot.segments, key=lambda segment: -len(segment.documents))
        self._table = table_of([each.contents for each in self._segments], [each.live for each in self._segments])
        self._sizes = [len(segment.documents) for segment in self._segments]

    def search(self, repetitions: Counter[str], query: Query) -> tuple[list[Hit], int]:
        """The best hits, and how many documents that may be found have a term.

        Args:
            repetitions: how often each term is asked for.
            query: how many hits, of which documents, and when to stop.
        """
        table, limit = self._table, query.limit
        located, frequencies = located_terms(table, np.array([*map(term_key, repetitions)], np.uint64))
        if not any(frequencies):
            return [], 0
        scorer = _scorer(self.snapshot.manifest.summary)
        pairs = zip(repetitions.values(), frequencies, strict=True)
        weights = np.array([times * scorer.idf(frequency) if frequency else 0.0 for times, frequency in pairs])
        hits = np.empty((sum(min(limit, size) for size in self._sizes), HIT_COLUMNS), np.int64)
        found, space, segment = np.zeros(2, np.int64), np.empty(ROOM, np.int64), 0
        allowed = self._allowed(query.only)
        arrays, average = (table.rows, table.averages, allowed.addresses), scorer.average_length
        while segment < len(self._sizes):
            query.deadline.check()
            segment = best_documents(
                *arrays, average, segment, located, weights, limit, POSTINGS_A_CALL, hits, found, space
            )
        size, total = found.tolist()
        return self._hits(hits[:size], limit), total

    def _allowed(self, only: Filter) -> SegmentFlags:
        """The documents that may be found."""
        if not only:
            return self._table.live
        return segment_flags([segment.passing(only) for segment in self._segments])

    def _hits(self, rows: Numbers, limit: int) -> list[Hit]:
        """Hits of a table of them; of those with the worst score, the first by id."""
        hits = [
            Hit(self._segments[segment].documents.id(ordinal), score / SCORE_UNITS)
            for score, segment, ordinal in rows.tolist()
        ]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[:limit]


@lru_cache(maxsize=2)
def _scorer(summary: bytes) -> Scorer:
    """The scorer of a snapshot; the newest and the one before are at hand."""
    try:
        return Scorer(read_statistics(summary))
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"the statistics in the manifest cannot be read: {exc}") from exc
