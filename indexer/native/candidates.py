"""Which documents of a segment can match, by the trigrams that a plan asks for."""

from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.native.contents import NativeContents
from indexer.native.plan import AllOf, AllTrigrams, AnyOf, Everything, Plan
from indexer.segment import PostingLists, Segment

_MAX_TRIGRAMS: Final = 64
"""Of one string; more only cost time, once these have narrowed the candidates."""

Ordinals = npt.NDArray[np.uint32]


def candidates(segment: Segment[NativeContents], plan: Plan) -> Ordinals:
    """The live documents that a plan does not exclude, ascending, shape (n,), uint32."""
    possible = _possible(segment.contents.postings, plan)
    if possible is None:
        return np.flatnonzero(segment.kept).astype(np.uint32)
    return possible[segment.live_rows(possible)]


def _possible(postings: PostingLists, plan: Plan) -> Ordinals | None:
    """Ordinals, deleted documents included; None stands for all."""
    match plan:
        case Everything():
            return None
        case AllTrigrams(trigrams):
            return _with_all(postings, trigrams)
        case AllOf(plans):
            return _intersection([_possible(postings, each) for each in plans])
        case AnyOf(plans):
            return _union([_possible(postings, each) for each in plans])


def _with_all(postings: PostingLists, trigrams: frozenset[int]) -> Ordinals:
    lists = [postings.find(trigram)[:, 0] for trigram in sorted(trigrams)[:_MAX_TRIGRAMS]]
    lists.sort(key=len)
    found = lists[0]
    for each in lists[1:]:
        if not len(found):
            break
        found = np.intersect1d(found, each, assume_unique=True)
    return found


def _intersection(sets: list[Ordinals | None]) -> Ordinals | None:
    known = sorted((each for each in sets if each is not None), key=len)
    if not known:
        return None
    found = known[0]
    for each in known[1:]:
        found = np.intersect1d(found, each, assume_unique=True)
    return found


def _union(sets: list[Ordinals | None]) -> Ordinals | None:
    known = [each for each in sets if each is not None]
    return np.unique(np.concatenate(known)) if len(known) == len(sets) else None
