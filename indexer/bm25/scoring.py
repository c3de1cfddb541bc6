"""Okapi BM25 as `rank_bm25.BM25Okapi` computes it, from statistics of the live documents alone.

For a query of terms q, repeated ones counted as often as they occur, a document d scores

    sum over q of  idf(q) * tf(q, d) * (k1 + 1) / (tf(q, d) + k1 * (1 - b + b * |d| / avgdl))

    idf(q) = log(N - df(q) + 0.5) - log(df(q) + 0.5),   or where that is negative: epsilon * average idf of all terms

(Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009; the floor is rank_bm25's, after
Trotman, Puurula and Burgess, Improvements to BM25 and Language Models Examined, 2014.) The average idf needs no more
than how many terms have each document frequency, so that histogram is what a commit keeps.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

K1: Final = 1.5
B: Final = 0.75
EPSILON: Final = 0.25

TITLE_REPETITIONS: Final = 3
"""A title counts as if its terms stood this many times before the body's."""


class Statistics(msgspec.Struct, frozen=True):
    """What scores depend on beside the postings; of live documents only.

    Attributes:
        documents: N, their number.
        terms: how many terms they have together, repetitions included; |d| summed.
        frequencies: number of distinct terms by document frequency.
    """

    documents: int = 0
    terms: int = 0
    frequencies: Mapping[int, int] = msgspec.field(default_factory=dict)

    @property
    def average_length(self) -> float:
        """Avgdl, in terms."""
        return self.terms / self.documents

    def average_idf(self) -> float:
        """The mean idf of all distinct terms, negative ones included."""
        values = np.array([*self.frequencies.items()], np.float64).reshape(-1, 2)
        df, count = values[:, 0], values[:, 1]
        idf = np.log(self.documents - df + 0.5) - np.log(df + 0.5)
        return float(np.dot(idf, count) / count.sum())


class Scorer:
    """Weighs terms by the statistics of one snapshot.

    Attributes:
        documents: N.
        average_length: avgdl, in terms.
        floor: the idf of terms whose own would be negative.

    Args:
        statistics: of a snapshot with at least one term.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.documents = statistics.documents
        self.average_length = statistics.average_length
        self.floor = EPSILON * statistics.average_idf()

    def idf(self, frequency: int) -> float:
        """Weight of a term that is in so many documents, of which there is at least one."""
        idf = math.log(self.documents - frequency + 0.5) - math.log(frequency + 0.5)
        return self.floor if idf < 0 else idf


def saturation(
    counts: npt.NDArray[np.uint32], lengths: npt.NDArray[np.uint32], average_length: float
) -> npt.NDArray[np.float64]:
    """The part of the score that depends on the document; less than k1 + 1, and growing with the average length.

    Args:
        counts: tf, occurrences of the term in each document, shape (n,), uint32.
        lengths: |d|, terms of each document, shape (n,), uint32.
        average_length: avgdl, in terms.

    Returns:
        shape (n,), float64.
    """
    tf = counts.astype(np.float64)
    saturated: npt.NDArray[np.float64] = tf * (K1 + 1) / (tf + K1 * (1 - B + B * lengths / average_length))
    return saturated
