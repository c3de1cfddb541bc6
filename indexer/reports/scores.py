"""What it found to hold the scores of an index against the textbook; see `indexer.bm25.audit`."""

from collections.abc import Sequence

import msgspec

from streams.document import DocumentId


class Disagreement(msgspec.Struct, frozen=True):
    """A document that the index scores otherwise than the textbook.

    Attributes:
        query: bag of words.
        id: of the document.
        score: of the index; None where it is not among the hits and should be.
        expected: of `rank_bm25`.
    """

    query: str
    id: DocumentId
    score: float | None
    expected: float


class ScoreAudit(msgspec.Struct, frozen=True):
    """What an audit found.

    Attributes:
        queries: how many were asked.
        scores: how many scores were compared.
        disagreements: the scores that differ.
    """

    queries: int
    scores: int
    disagreements: Sequence[Disagreement]
