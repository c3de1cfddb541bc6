"""The best hits so far, as kernels keep them: a heap with the worst at the root, equal scores in the order of ids."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, int64_at, uint32_at

BEST_SIZE: Final = 1
HIT_SIZE: Final = 2
"""Numbers of int64 that the best hits take, and more for each of them."""

Ordinals = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]


class Best(NamedTuple):
    """The best hits so far, a heap with the worst at the root; all arrays of shape (limit,).

    Attributes:
        scores: in units, int64.
        ranks: place of the document in the order of ids, uint32.
        ordinals: of the document, uint32.
        size: how many hits there are, shape (1,), int64.
    """

    scores: Numbers
    ranks: Ordinals
    ordinals: Ordinals
    size: Numbers


@inlined
def new_best(space: int, limit: int) -> Best:
    """No hits yet, and room for so many; `space` is the address of room for `BEST_SIZE` and `HIT_SIZE` for each."""
    best = best_at(space, limit)
    best.size[0] = 0
    return best


@inlined
def best_at(space: int, limit: int) -> Best:
    """The best hits that lie at an address."""
    size, at = int64_at(space, 1), space + 8
    return Best(int64_at(at, limit), uint32_at(at + 8 * limit, limit), uint32_at(at + 12 * limit, limit), size)


@inlined
def offer(best: Best, score: int, rank: int, ordinal: int) -> None:
    """Put a document among the best, if it is better than the worst of them."""
    size = best.size[0]
    if size < len(best.scores):
        _put(best, size, score, rank, ordinal)
        best.size[0] = size + 1
        _sift_up(best, size)
    elif score > best.scores[0] or (score == best.scores[0] and rank < best.ranks[0]):
        _put(best, 0, score, rank, ordinal)
        _sift_down(best)


@inlined
def score_to_reach(best: Best, threshold: int) -> int:
    """The score that a document needs at least to be among the best, and to be of interest at all."""
    return max(threshold, best.scores[0]) if best.size[0] == len(best.scores) else threshold


@inlined
def _put(best: Best, at: int, score: int, rank: int, ordinal: int) -> None:
    best.scores[at], best.ranks[at], best.ordinals[at] = score, rank, ordinal


@inlined
def _swap(best: Best, one: int, other: int) -> None:
    score, rank, ordinal = best.scores[one], best.ranks[one], best.ordinals[one]
    _put(best, one, best.scores[other], best.ranks[other], best.ordinals[other])
    _put(best, other, score, rank, ordinal)


@inlined
def _worse(best: Best, one: int, other: int) -> bool:
    tied = best.scores[one] == best.scores[other]
    return bool(best.scores[one] < best.scores[other] or (tied and best.ranks[one] > best.ranks[other]))


@inlined
def _sift_down(best: Best) -> None:
    at, least = -1, 0
    while at != least:
        at = least
        for child in (2 * at + 1, 2 * at + 2):
            if child < best.size[0] and _worse(best, child, least):
                least = child
        if least != at:
            _swap(best, at, least)


@inlined
def _sift_up(best: Best, at: int) -> None:
    while at > 0 and _worse(best, at, (at - 1) // 2):
        _swap(best, at, (at - 1) // 2)
        at = (at - 1) // 2
