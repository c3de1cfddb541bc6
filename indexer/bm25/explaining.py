"""Takes the score of a document apart: the formula of `indexer.bm25.scoring`, term by term, from the postings alone.

Nothing here is shared with the kernels that score, but the statistics and the formula: so a test can hold one against
the other.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from indexer.bm25.keys import term_keys
from indexer.bm25.postings import Bm25Contents
from indexer.bm25.scoring import EPSILON, K1, B, Scorer
from indexer.deadline import Deadline
from indexer.explanation import Explanation
from indexer.segment import ABSENT, PostingLists, Segment

Located = tuple[Segment[Bm25Contents], int]
"""A document: its segment, and its ordinal there."""


class TermStatistics:
    """The terms of a query in a snapshot.

    Args:
        segments: of the snapshot.
        repetitions: how often each term is asked for.
        deadline: of the request.
    """

    def __init__(
        self, segments: Sequence[Segment[Bm25Contents]], repetitions: Mapping[str, int], deadline: Deadline
    ) -> None:
        self._repetitions = repetitions
        self._deadline = deadline
        self._postings = {id(segment): self._read(segment.contents.postings) for segment in segments}
        self._frequencies = [
            sum(_live(segment, self._postings[id(segment)][place]) for segment in segments)
            for place in range(len(repetitions))
        ]

    def explain(self, document: Located, scorer: Scorer) -> Explanation:
        """The score of a document, as the sum of what its terms are worth."""
        segment, ordinal = document
        length = int(segment.contents.lengths[ordinal])
        parts = [
            _term(term, times, tf, self._frequencies[place], length, scorer)
            for place, (term, times) in enumerate(self._repetitions.items())
            if (tf := _count(self._postings[id(segment)][place], ordinal))
        ]
        return Explanation("sum over the terms", math.fsum(part.value or 0.0 for part in parts), tuple(parts))

    def _read(self, postings: PostingLists) -> list[npt.NDArray[np.uint32]]:
        """The postings of each term, (ordinal, occurrences)."""
        read = []
        places, _ = postings.locate(term_keys(self._repetitions))
        for place in places.tolist():
            self._deadline.check()
            read.append(np.empty((0, 2), np.uint32) if place == ABSENT else postings.at(place))
        return read


def _term(term: str, times: int, tf: int, df: int, length: int, scorer: Scorer) -> Explanation:
    idf, norm = scorer.idf(df), 1 - B + B * length / scorer.average_length
    saturation = tf * (K1 + 1) / (tf + K1 * norm)
    rule = "ln(N - df + 0.5) - ln(df + 0.5)"
    if idf == scorer.floor:
        rule = f"{EPSILON} * average idf of all terms, since {rule} is negative"
    factors = (
        Explanation(
            f"idf = {rule}", idf, (_number("N, documents", scorer.documents), _number("df, with the term", df))
        ),
        Explanation(
            "saturation = tf * (k1 + 1) / (tf + k1 * norm)",
            saturation,
            (
                _number("tf, occurrences; those in the title count three times", tf),
                _number("k1", K1),
                Explanation(
                    "norm = 1 - b + b * length / average length",
                    norm,
                    (
                        _number("b", B),
                        _number("length, terms", length),
                        _number("average length, terms", scorer.average_length),
                    ),
                ),
            ),
        ),
    )
    if times == 1:
        return Explanation(f"{term}: idf * saturation", idf * saturation, factors)
    asked = _number("times that it is asked for", times)
    return Explanation(f"{term}: times * idf * saturation", times * idf * saturation, (asked, *factors))


def _number(description: str, value: float) -> Explanation:
    return Explanation(description, float(value))


def _live(segment: Segment[Bm25Contents], postings: npt.NDArray[np.uint32]) -> int:
    """How many documents of a list are not deleted."""
    return len(postings) if segment.live is None else int(np.count_nonzero(segment.live[postings[:, 0]]))


def _count(postings: npt.NDArray[np.uint32], ordinal: int) -> int:
    """The occurrences in a document, 0 where it is not in the list."""
    place = int(np.searchsorted(postings[:, 0], ordinal))
    return int(postings[place, 1]) if place < len(postings) and postings[place, 0] == ordinal else 0
