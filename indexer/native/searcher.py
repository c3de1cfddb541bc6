"""Answers literals and regexes: trigrams narrow the candidates, which are verified on their raw text.

A search that runs into its deadline answers with what it has found by then, and says `gte`; one that has found nothing
yet says that the time ran out, since "no match" would be a guess.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from indexer.backend import Answer, Query
from indexer.errors import DeadlineExceeded
from indexer.explanation import Explanation
from indexer.generation import Generation
from indexer.native.best import MatchingDocuments, score_best
from indexer.native.budget import TimeBudget
from indexer.native.candidates import candidates
from indexer.native.contents import NativeContents, NativeEngine
from indexer.native.explaining import explain
from indexer.native.locating import with_matches
from indexer.native.pattern import compile_pattern
from indexer.native.verification import Verifier
from indexer.segment import Segment, SegmentedSearcher, Snapshot, best_hits
from indexer.segment.tombstones import Flags
from streams.document import DocumentId


class NativeSearcher(SegmentedSearcher[NativeContents]):
    """`BlockingSearcher` of the native method.

    Args:
        generation: what to search.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation, NativeEngine())

    def _matching(self, snapshot: Snapshot[NativeContents], query: Query) -> tuple[list[Flags], bool]:
        pattern = compile_pattern(query.text)
        budget = TimeBudget(query.deadline)
        verifier = Verifier(pattern, budget)
        matching = []
        for segment in snapshot.segments:
            held = np.zeros(len(segment.documents), np.bool_)
            if len(possible := candidates(segment, pattern.plan, query.only)):
                held[verifier.find(segment.contents, possible).ordinals] = True
            matching.append(held)
        return matching, not budget.cut_short

    def _explain(
        self,
        snapshot: Snapshot[NativeContents],  # noqa: ARG002 - part of the seam
        query: Query,
        located: Mapping[DocumentId, tuple[Segment[NativeContents], int]],
    ) -> Iterator[tuple[DocumentId, Explanation]]:
        pattern, budget = compile_pattern(query.text), TimeBudget(query.deadline)
        for document_id, (segment, ordinal) in located.items():
            query.deadline.check()
            explained = explain(segment, ordinal, pattern, budget)
            if explained is not None:
                yield document_id, explained

    def _search(self, snapshot: Snapshot[NativeContents], query: Query) -> Answer:
        pattern = compile_pattern(query.text)
        budget = TimeBudget(query.deadline)
        verifier = Verifier(pattern, budget)
        found = [
            MatchingDocuments(segment, matching)
            for segment in snapshot.segments
            if len(possible := candidates(segment, pattern.plan, query.only))
            and len((matching := verifier.find(segment.contents, possible)).ordinals)
        ]
        total = sum(map(len, found))
        if budget.cut_short and not total:
            raise DeadlineExceeded(
                "the deadline passed before a match was found; a longer literal part narrows the search"
            )
        if not total:
            return Answer([], 0, snapshot.manifest.watermark, detail=pattern.detail)
        budget.begin_ranking()
        score_best(found, verifier, query.limit, budget)
        hits = best_hits([each.matches() for each in found], query.limit)
        return Answer(
            with_matches(hits, query.located, snapshot.segments, pattern, budget),
            total,
            snapshot.manifest.watermark,
            total_relation="gte" if budget.cut_short else "eq",
            detail=pattern.detail,
        )
