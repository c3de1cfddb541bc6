"""The best matches of all segments, without counting in those that cannot be among them, or looking at their ids.

What kernels found is counted, and so is its score known. The rest is scored from the highest upper bound down, in
growing groups, until the bound of the next is below the score of the last that would be returned. Ids are looked at
last, those of documents that a match there can bring among the best. The result is that of scoring all (Fagin's
threshold algorithm: R. Fagin, A. Lotem, M. Naor, Optimal aggregation algorithms for middleware, 2003).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.native.budget import TimeBudget
from indexer.native.contents import NativeContents
from indexer.native.ranking import PATH, Scores, highest_scores, scores
from indexer.native.tallies import Numbers
from indexer.native.verification import Found, Verifier
from indexer.segment import Matches, Segment

_FIRST_GROUP: Final = 64
_LARGEST_GROUP: Final = 512


class MatchingDocuments:
    """The documents of a segment that match, scored as far as is known.

    Args:
        segment: that holds them.
        found: which they are.

    Attributes:
        scores: of each, or what it scores at least, shape (n,), float64.
        uncounted: places of those whose lines are not counted, ascending, shape (m,), int64.
    """

    def __init__(self, segment: Segment[NativeContents], found: Found) -> None:
        self._segment = segment
        self._found = found
        self._lengths = segment.contents.lengths(found.ordinals)
        self._in_title = found.tallies.places < segment.contents.titles[found.ordinals]
        counts, words = found.tallies.counts, found.tallies.words
        self.uncounted: Numbers = np.flatnonzero(counts == 0)
        self.scores = scores(np.maximum(1, counts), words, self._lengths, self._in_title)

    def __len__(self) -> int:
        return len(self._found.ordinals)

    @property
    def bounds(self) -> Scores:
        """What each of the uncounted scores at most, shape (m,), float64."""
        return highest_scores(self._lengths[self.uncounted], self._in_title[self.uncounted])

    def count(self, places: Numbers, verifier: Verifier) -> Scores:
        """Score some of the uncounted; those that there is no time for keep what they score at least."""
        ordinals = self._found.ordinals[places]
        tallies = verifier.count(self._segment.contents, ordinals, self._found.tallies.places[places])
        known = tallies.counts > 0
        places = places[known]
        counts, words = tallies.counts[known], tallies.words[known]
        self.scores[places] = scores(counts, words, self._lengths[places], self._in_title[places])
        return self.scores[places]

    def rate_paths(self, least: float, verifier: Verifier) -> None:
        """Add what a match in the id is worth to those that score so much already."""
        places = np.flatnonzero(self.scores >= least)
        matching = verifier.match_ids(self._segment.documents, self._found.ordinals[places])
        self.scores[places[matching]] += PATH

    def matches(self) -> Matches:
        """All of them, for `best_hits`: none that was not counted outranks those that had to be."""
        return Matches(self._segment.documents, self._found.ordinals, self.scores)


def score_best(found: Sequence[MatchingDocuments], verifier: Verifier, limit: int, budget: TimeBudget) -> None:
    """Score the documents that can be among the best `limit`, as long as there is time."""
    best = _count_best(found, verifier, limit, budget)
    least = best.min() - PATH if len(best) >= limit else -np.inf
    for each in found:
        if budget.runs_out():
            return
        each.rate_paths(least, verifier)


def _count_best(found: Sequence[MatchingDocuments], verifier: Verifier, limit: int, budget: TimeBudget) -> Scores:
    """Count in the documents that can be among the best, and give the scores of these, ids left out."""
    if not any(len(each.uncounted) for each in found):
        return _largest(np.concatenate([np.empty(0), *(each.scores for each in found)]), limit)
    bounds = np.concatenate([np.empty(0), *(each.bounds for each in found)])
    owners = np.repeat(np.arange(len(found)), [len(each.uncounted) for each in found])
    places = np.concatenate([np.empty(0, np.int64), *(each.uncounted for each in found)])
    best = _largest(np.concatenate([np.empty(0), *(np.delete(each.scores, each.uncounted) for each in found)]), limit)
    for group in _descending(bounds):
        if len(best) >= limit and bounds[group].max() + PATH < best.min():
            break
        if budget.runs_out():
            break
        for owner in np.unique(owners[group]).tolist():
            scored = found[owner].count(places[group[owners[group] == owner]], verifier)
            best = _largest(np.concatenate([best, scored]), limit)
    return best


def _descending(bounds: Scores) -> Iterator[npt.NDArray[np.intp]]:
    order = np.argsort(-bounds, kind="stable")
    start, size = 0, _FIRST_GROUP
    while start < len(order):
        yield order[start : start + size]
        start, size = start + size, min(2 * size, _LARGEST_GROUP)


def _largest(values: Scores, limit: int) -> Scores:
    return np.partition(values, -limit)[-limit:] if len(values) > limit else values
