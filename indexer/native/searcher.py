"""Answers literals and regexes: trigrams narrow the candidates, RE2 verifies each on its raw text.

A search that runs into its deadline answers with what it has found by then, and says `gte`; one that has found nothing
yet says that the time ran out, since "no match" would be a guess.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.generation import Generation
from indexer.native.candidates import candidates
from indexer.native.contents import NativeContents, NativeEngine
from indexer.native.pattern import Pattern, compile_pattern
from indexer.native.ranking import COUNTED_MATCHES, score
from indexer.segment import Matches, Segment, SegmentedSearcher, Snapshot, best_hits

_ANSWER_SHARE: Final = 0.1
"""Of the time that is left when a search begins; kept for ranking and for the way back to whoever waits."""


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
        scan = _Scan(pattern, query.deadline)
        matches = [scan.segment(segment) for segment in snapshot.segments]
        total = sum(len(each.ordinals) for each in matches)
        if scan.cut_short and not total:
            raise DeadlineExceeded(
                "the deadline passed before a match was found; a longer literal part narrows the search"
            )
        return Answer(
            best_hits(matches, query.limit),
            total,
            snapshot.manifest.watermark,
            total_relation="gte" if scan.cut_short else "eq",
            detail=pattern.detail,
        )


class _Scan:
    """Verifies candidates until the time is up."""

    def __init__(self, pattern: Pattern, deadline: Deadline) -> None:
        self._pattern = pattern
        self._deadline = deadline
        self._kept_seconds = _ANSWER_SHARE * deadline.remaining()
        self.cut_short = deadline.remaining() == 0

    def segment(self, segment: Segment[NativeContents]) -> Matches:
        found = dict(self._matches(segment))
        ordinals = np.fromiter(found.keys(), np.int64, len(found))
        return Matches(segment.documents, ordinals, np.fromiter(found.values(), np.float64, len(found)))

    def _matches(self, segment: Segment[NativeContents]) -> Iterator[tuple[int, float]]:
        contents = segment.contents
        for ordinal in candidates(segment, self._pattern.plan).tolist():
            if self.cut_short or self._deadline.remaining() <= self._kept_seconds:
                self.cut_short = True
                return
            text = contents.text_of(ordinal)
            if spans := self._pattern.byte_spans(text, COUNTED_MATCHES):
                yield ordinal, score(text, spans, int(contents.titles[ordinal]))
