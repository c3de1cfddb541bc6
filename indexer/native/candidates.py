"""Which documents of a segment can match, by the trigrams that a plan asks for."""

from functools import reduce
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, kernel, readable, uint32, writable
from indexer.filtering import Filter
from indexer.native.contents import NativeContents
from indexer.native.plan import AllOf, AllTrigrams, AnyOf, Everything, Plan, trigrams_of
from indexer.segment import ABSENT, PostingLists, Segment

_MAX_TRIGRAMS: Final = 64
"""Of one string; more only cost time, once these have narrowed the candidates."""

_FEW_CANDIDATES: Final = 8
"""So many are verified sooner than narrowed."""

Ordinals = npt.NDArray[np.uint32]


class _Places(NamedTuple):
    """Where keys are among a segment's, and how many postings each has."""

    places: list[int]
    counts: list[int]


def candidates(segment: Segment[NativeContents], plan: Plan, only: Filter) -> Ordinals:
    """The live documents that neither a plan nor a filter excludes, ascending, shape (n,), uint32."""
    passing = segment.passing(only)
    if passing is not None and np.count_nonzero(passing) <= _FEW_CANDIDATES:
        return np.flatnonzero(passing).astype(np.uint32)
    possible = _possible(segment.contents.postings, plan)
    if possible is None:
        return np.flatnonzero(segment.kept if passing is None else passing).astype(np.uint32)
    return possible if passing is None else possible[passing[possible]]


def fewest_documents(postings: PostingLists, folded: bytes) -> int:
    """How many documents have the rarest trigram of a folded text, deleted ones included; 0 when one is missing."""
    places = _places(postings, trigrams_of(folded))
    return 0 if places is None else min(places.counts)


def holding(postings: PostingLists, folded: bytes) -> Ordinals:
    """The documents that have all trigrams of a folded text of at least one, deleted ones included; ascending."""
    return _with_all(postings, trigrams_of(folded))


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
    located = _places(postings, trigrams)
    if located is None:
        return np.empty(0, np.uint32)
    rarest_first = [place for _, place in sorted(zip(located.counts, located.places, strict=True))]
    found = _ordinals(postings, rarest_first[0])
    for place in rarest_first[1:_MAX_TRIGRAMS]:
        if len(found) <= _FEW_CANDIDATES:
            break
        found = in_both(found, _ordinals(postings, place))
    return found


def _places(postings: PostingLists, trigrams: frozenset[int]) -> _Places | None:
    """Where these keys are among a segment's, or None when one of them is not there."""
    places, counts = postings.locate(np.array(sorted(trigrams), np.uint64))
    known = places.tolist()
    return None if ABSENT in known else _Places(known, counts.tolist())


def _ordinals(postings: PostingLists, place: int) -> Ordinals:
    return np.ascontiguousarray(postings.at(place)[:, 0])


def _intersection(sets: list[Ordinals | None]) -> Ordinals | None:
    known = sorted((each for each in sets if each is not None), key=len)
    return reduce(in_both, known) if known else None


def _union(sets: list[Ordinals | None]) -> Ordinals | None:
    known = [each for each in sets if each is not None]
    if len(known) < len(sets):
        return None
    held = np.zeros(1 + max((int(each[-1]) for each in known if len(each)), default=-1), np.bool_)
    for each in known:
        held[each] = True
    return np.flatnonzero(held).astype(np.uint32)


def in_both(left: Ordinals, right: Ordinals) -> Ordinals:
    """What is in both of two ascending arrays, uint32, ascending."""
    common = np.empty(min(len(left), len(right)), np.uint32)
    return common[: _intersect(left, right, common)]


@kernel(int64, readable(uint32), readable(uint32), writable(uint32))
def _intersect(left: Ordinals, right: Ordinals, common: Ordinals) -> int:
    """Merge without branches on what is compared, which no processor could predict."""
    at, other, found = 0, 0, 0
    while at < len(left) and other < len(right):
        one, two = left[at], right[other]
        if one == two:
            common[found] = one
            found += 1
        at += one <= two
        other += two <= one
    return found
