"""The best matches of all segments, without scoring those that cannot be among them.

Documents are scored from the highest upper bound down, in growing groups, until the bound of the next is below the
score of the last that would be returned. The result is that of scoring all (Fagin's threshold algorithm: R. Fagin,
A. Lotem, M. Naor, Optimal aggregation algorithms for middleware, 2003).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.native.budget import TimeBudget
from indexer.native.contents import NativeContents
from indexer.native.ranking import Numbers, Scores, highest_scores, lowest_scores, scores
from indexer.native.verification import FirstMatches, Verifier
from indexer.segment import Matches, Segment

_FIRST_GROUP: Final = 64
_LARGEST_GROUP: Final = 512


class MatchingDocuments:
    """The documents of a segment that match, scored as far as is known.

    Args:
        segment: that holds them.
        first: which they are.
    """

    def __init__(self, segment: Segment[NativeContents], first: FirstMatches) -> None:
        self._segment = segment
        self._ordinals = first.ordinals
        self._lengths = segment.contents.lengths(first.ordinals)
        self._in_title = first.places < segment.contents.titles[first.ordinals]
        self._scores = lowest_scores(self._lengths, self._in_title)

    def __len__(self) -> int:
        return len(self._ordinals)

    @property
    def bounds(self) -> Scores:
        """What each scores at most, shape (n,), float64."""
        return highest_scores(self._lengths, self._in_title)

    def score(self, places: Numbers, verifier: Verifier) -> Scores:
        """Score some of the documents; those that there is no time for keep what they score at least."""
        tallies = verifier.tally(self._segment.contents, self._ordinals[places])
        known = places[tallies.known]
        counts, words = tallies.counts[tallies.known], tallies.words[tallies.known]
        self._scores[known] = scores(counts, words, self._lengths[known], self._in_title[known])
        return self._scores[known]

    def matches(self) -> Matches:
        """All of them, for `best_hits`: none that was not scored outranks those that had to be."""
        return Matches(self._segment.documents, self._ordinals, self._scores)


def score_best(found: Sequence[MatchingDocuments], verifier: Verifier, limit: int, budget: TimeBudget) -> None:
    """Score the documents that can be among the best `limit`, as long as there is time."""
    bounds = np.concatenate([np.empty(0), *(each.bounds for each in found)])
    owners = np.repeat(np.arange(len(found)), [len(each) for each in found])
    places = np.concatenate([np.empty(0, np.int64), *(np.arange(len(each)) for each in found)])
    best = np.empty(0)
    for group in _descending(bounds):
        if len(best) >= limit and bounds[group].max() < best.min():
            return
        if budget.spent:
            budget.cut_short = True
            return
        for owner in np.unique(owners[group]).tolist():
            scored = found[owner].score(places[group[owners[group] == owner]], verifier)
            best = _largest(np.concatenate([best, scored]), limit)


def _descending(bounds: Scores) -> Iterator[npt.NDArray[np.intp]]:
    order = np.argsort(-bounds, kind="stable")
    start, size = 0, _FIRST_GROUP
    while start < len(order):
        yield order[start : start + size]
        start, size = start + size, min(2 * size, _LARGEST_GROUP)


def _largest(values: Scores, limit: int) -> Scores:
    return np.partition(values, -limit)[-limit:] if len(values) > limit else values
