"""Answers literals and regexes: trigrams narrow the candidates, which are verified on their raw text.

A search that runs into its deadline answers with what it has found by then, and says `gte`; one that has found nothing
yet says that the time ran out, since "no match" would be a guess.
"""

from indexer.backend import Answer, Query
from indexer.errors import DeadlineExceeded
from indexer.generation import Generation
from indexer.native.best import MatchingDocuments, score_best
from indexer.native.budget import TimeBudget
from indexer.native.candidates import candidates
from indexer.native.contents import NativeContents, NativeEngine
from indexer.native.locating import with_matches
from indexer.native.pattern import compile_pattern
from indexer.native.verification import Verifier
from indexer.segment import SegmentedSearcher, Snapshot, best_hits


class NativeSearcher(SegmentedSearcher[NativeContents]):
    """`BlockingSearcher` of the native method.

    Args:
        generation: what to search.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation, NativeEngine())

    def _search(self, snapshot: Snapshot[NativeContents], query: Query) -> Answer:
        pattern = compile_pattern(query.text)
        budget = TimeBudget(query.deadline)
        verifier = Verifier(pattern, budget)
        found = [
            MatchingDocuments(segment, verifier.find(segment.contents, possible))
            for segment in snapshot.segments
            if len(possible := candidates(segment, pattern.plan, query.only))
        ]
        total = sum(map(len, found))
        if budget.cut_short and not total:
            raise DeadlineExceeded(
                "the deadline passed before a match was found; a longer literal part narrows the search"
            )
        budget.begin_ranking()
        score_best(found, verifier, query.limit, budget)
        hits = best_hits([each.matches() for each in found], query.limit)
        return Answer(
            with_matches(hits, snapshot.segments, pattern, budget),
            total,
            snapshot.manifest.watermark,
            total_relation="gte" if budget.cut_short else "eq",
            detail=pattern.detail,
        )
