"""The kernel of a query: the best documents of one segment, by block-max MaxScore over windows of ordinals.

In each window every term has an upper bound, from the block maxima of the blocks that reach into it. Terms whose bounds
together stay below the worst of the best hits so far cannot bring in a document alone (MaxScore: Turtle and Flood,
Query evaluation: strategies and optimizations, 1995; over blocks: Ding and Suel, Faster top-k document retrieval using
block-max indexes, 2011; the windows are Lucene's BlockMaxMaxScoreBulkScorer). Their postings are only counted, and
scored where a document of the other terms is still in the running; a window without hope is only counted.

Scores are added up as integers, in units of 2**-40. So a sum does not depend on its order, pruned results are those of
exhaustive scoring to the last bit, and equal documents have equal scores, in any segment.
"""

from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from indexer.compiled import float64, inlined, int64, kernel, readable, record, signed, uint8, uint32, uint64, writable
from indexer.segment.packing import BLOCK, packed_words, unpack_column, unpack_ordinals

SCORE_UNITS: Final = float(1 << 40)
"""Units of a score of 1. The longest query, 2,048 terms of the largest weight, stays below 2**57."""

_ROUNDING: Final = 1.0 + 1e-9
"""Makes a bound larger than what rounding can add to a score."""

WINDOW: Final = 8192
"""Documents that are looked at together; their sums stay in the processor's nearest cache."""

NO_THRESHOLD: Final = -(1 << 62)
"""Below any score."""

_ABSENT: Final = 0
_COUNTED: Final = 1
_IN_RUNNING: Final = 2
"""What is known of a document of the window: that it has a term, and that it has one that can bring it in."""

Ordinals = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]


class ScoredLists(NamedTuple):
    """The posting lists of a segment and what bounds them.

    See `indexer.segment.postings` and `indexer.bm25.postings`.
    """

    words: Ordinals
    starts: npt.NDArray[np.uint64]
    counts: Ordinals
    block_starts: npt.NDArray[np.uint64]
    block_last: Ordinals
    block_words: Ordinals
    block_bounds: Flags
    list_bounds: Flags
    lengths: Ordinals
    id_ranks: Ordinals


class Formula(NamedTuple):
    """How a posting scores in this snapshot: `weight * tf * (k1 + 1) / (tf + norm_fixed + norm_length * length)`.

    Attributes:
        k1: of the generation.
        norm_fixed: k1 * (1 - b).
        norm_length: k1 * b / avgdl.
        bound_step: saturation that one step of the stored bounds stands for.
    """

    k1: float
    norm_fixed: float
    norm_length: float
    bound_step: float


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

    @classmethod
    def of(cls, limit: int) -> Self:
        """Room for so many hits."""
        unsigned = np.empty((2, limit), np.uint32)
        return cls(np.empty(limit, np.int64), unsigned[0], unsigned[1], np.zeros(1, np.int64))


class _Window(NamedTuple):
    """The documents from ordinal `first` to before `last`: their sums and what is known of them, shape (WINDOW,).

    `touched` are those of which something is known, as places in these arrays, and `filled` how many there are.
    """

    first: int
    last: int
    sums: Numbers
    known: Flags
    touched: Ordinals
    filled: Numbers


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


@inlined
def _offer(best: Best, score: int, rank: int, ordinal: int) -> None:
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
def _floor(best: Best, threshold: int) -> int:
    """The score that a document needs at least to be among the best."""
    return max(threshold, best.scores[0]) if best.size[0] == len(best.scores) else threshold


@inlined
def _collect(lists: ScoredLists, window: _Window, allowed: Flags, floor: int, best: Best) -> int:
    """Offer the documents of the window to the heap and forget them. Returns how many count."""
    matched, count = 0, window.filled[0]
    for i in range(count):
        slot = window.touched[i]
        if len(allowed) == 0 or allowed[window.first + slot] != 0:
            matched += 1
            if window.sums[slot] >= floor and window.known[slot] == _IN_RUNNING:
                ordinal = window.first + slot
                _offer(best, window.sums[slot], lists.id_ranks[ordinal], ordinal)
                floor = _floor(best, floor)
        window.known[slot] = _ABSENT
        window.sums[slot] = 0
    window.filled[0] = 0
    return matched


@inlined
def _units(formula: Formula, weight: float, count: int, length: int) -> int:
    """A term's part of a document's score, cut off below a unit; see `indexer.bm25.scoring`.

    `weight` is the term's times k1 + 1 and in units.
    """
    tf = float(count)
    return signed(weight * tf / (tf + (formula.norm_fixed + formula.norm_length * float(length))))


@inlined
def _inside(window: _Window, ordinals: Ordinals, size: int) -> Any:  # noqa: ANN401 - integers of numba's
    """Which of the ascending ordinals lie in the window, as first and last + 1."""
    begin, end = 0, size
    while begin < size and ordinals[begin] < window.first:
        begin += 1
    while end > begin and ordinals[end - 1] >= window.last:
        end -= 1
    return begin, end


@inlined
def _open(lists: ScoredLists, place: int, block: int, ordinals: Ordinals) -> Any:  # noqa: ANN401 - integers of numba's
    """Unpack the ordinals of a block. Returns where it begins, where its counts begin, and its postings."""
    first = signed(lists.block_starts[place])
    full = signed(lists.block_starts[place + 1]) - first
    at = signed(lists.starts[place])
    previous = signed(-1)
    if block > 0:
        at += signed(lists.block_words[first + min(block, full - 1)])
        previous = signed(lists.block_last[first + block - 1])
    if 0 < block == full:  # the rest of the list lies behind its last full block
        header = lists.words[at]
        at += 1 + packed_words(BLOCK, signed(header & 0xFF)) + packed_words(BLOCK, signed((header >> 8) & 0xFF))
    size = min(BLOCK, signed(lists.counts[place]) - block * BLOCK)
    return at, unpack_ordinals(lists.words, at, size, previous, ordinals), size


@inlined
def _count(  # noqa: PLR0913, PLR0917 - kernels have no objects to keep these in
    lists: ScoredLists,
    formula: Formula,
    place: int,
    weight: float,
    block: int,
    window: _Window,
    ordinals: Ordinals,
    counts: Ordinals,
    needed: int,
) -> int:
    """Count the documents of the window that have a term, and add it to the sums that have reached `needed` already."""
    while block * BLOCK < signed(lists.counts[place]):
        at, column, size = _open(lists, place, block, ordinals)
        if ordinals[0] >= window.last:
            break
        begin, end = _inside(window, ordinals, size)
        touched = window.filled[0]
        unpacked = False
        for i in range(begin, end):
            ordinal = np.uint64(ordinals[i])
            slot = ordinal - np.uint64(window.first)
            if window.known[slot] != _IN_RUNNING:
                window.touched[touched] = slot
                touched += window.known[slot] == _ABSENT
                window.known[slot] = _COUNTED
            elif window.sums[slot] >= needed:
                if not unpacked:
                    unpack_column(lists.words, at, column, size, counts)
                    unpacked = True
                window.sums[slot] += _units(formula, weight, counts[i], lists.lengths[ordinal])
        window.filled[0] = touched
        if ordinals[size - 1] >= window.last:
            break
        block += 1
    return block


@inlined
def _score(  # noqa: PLR0913, PLR0917 - see `_count`
    lists: ScoredLists,
    formula: Formula,
    place: int,
    weight: float,
    block: int,
    window: _Window,
    ordinals: Ordinals,
    counts: Ordinals,
) -> int:
    """Add a term to the sums of all documents of the window that have it. Returns its first block of the next one."""
    while block * BLOCK < signed(lists.counts[place]):
        at, column, size = _open(lists, place, block, ordinals)
        if ordinals[0] >= window.last:
            break
        unpack_column(lists.words, at, column, size, counts)
        begin, end = _inside(window, ordinals, size)
        touched = window.filled[0]
        for i in range(begin, end):
            ordinal = np.uint64(ordinals[i])
            slot = ordinal - np.uint64(window.first)
            window.sums[slot] += _units(formula, weight, counts[i], lists.lengths[ordinal])
            window.touched[touched] = slot
            touched += window.known[slot] == _ABSENT
            window.known[slot] = _IN_RUNNING
        window.filled[0] = touched
        if ordinals[size - 1] >= window.last:
            break
        block += 1
    return block


@inlined
def _hopeless(bounds: Numbers, order: Numbers, floor: int) -> Any:  # noqa: ANN401 - integers of numba's
    """How many of the smallest bounds stay below the floor together, and their sum."""
    terms, total = 0, signed(0)
    while terms < len(order) and total + bounds[order[terms]] < floor:
        total += bounds[order[terms]]
        terms += 1
    return terms, total


@inlined
def _sort(bounds: Numbers, order: Numbers) -> None:
    """Order the terms by their bounds, ascending; of so few, insertion is quickest."""
    for t in range(len(bounds)):
        at = t
        while at > 0 and bounds[order[at - 1]] > bounds[t]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = t


@inlined
def _first_block(lists: ScoredLists, place: int, block: int, ordinal: int) -> int:
    """The first block, from this one on, that reaches to an ordinal."""
    first = signed(lists.block_starts[place])
    full = signed(lists.block_starts[place + 1]) - first
    while block < full and lists.block_last[first + block] < ordinal:
        block += 1
    return block


@inlined
def _bound(lists: ScoredLists, formula: Formula, place: int, weight: float, block: int, end: int) -> int:
    """The most that a term adds to a document of the window; 0 only when no document there has it."""
    first = signed(lists.block_starts[place])
    full = signed(lists.block_starts[place + 1]) - first
    steps = 0
    while block < full:
        steps = max(steps, signed(lists.block_bounds[first + block]))
        if lists.block_last[first + block] >= end:
            break
        block += 1
    if block == full and signed(lists.counts[place]) > full * BLOCK:
        steps = max(steps, signed(lists.list_bounds[place]))  # what is no full block may reach into the window
    if steps == 0:
        return signed(0)
    saturation = min(steps * formula.bound_step, formula.k1 + 1.0)
    # A negative weight adds most where the term is absent.
    return signed(max(0.0, weight * saturation) * _ROUNDING * SCORE_UNITS) + 1


@kernel(
    int64,
    record(
        ScoredLists,
        readable(uint32),
        readable(uint64),
        readable(uint32),
        readable(uint64),
        readable(uint32),
        readable(uint32),
        readable(uint8),
        readable(uint8),
        readable(uint32),
        readable(uint32),
    ),
    record(Formula, float64, float64, float64, float64),
    readable(int64),
    readable(float64),
    readable(uint8),
    int64,
    record(Best, writable(int64), writable(uint32), writable(uint32), writable(int64)),
)
def best_documents(
    lists: ScoredLists,
    formula: Formula,
    places: Numbers,
    weights: Weights,
    allowed: Flags,
    threshold: int,
    best: Best,
) -> int:
    """Find the best documents of a segment.

    Args:
        lists: of the segment.
        formula: of the snapshot.
        places: in the dictionary, of those terms of the query that the segment has, shape (terms,), int64.
        weights: of these terms, repetitions times idf, shape (terms,), float64.
        allowed: by ordinal, not 0 for documents that count, shape (documents,), uint8; empty when all do.
        threshold: scores below it are of no interest, in units.
        best: takes the hits.

    Returns:
        how many documents hold a term of the query.
    """
    terms, documents = len(places), len(lists.lengths)
    sums, known = np.zeros(WINDOW, np.int64), np.zeros(WINDOW, np.uint8)
    touched, filled = np.empty(WINDOW + 1, np.uint32), np.zeros(1, np.int64)
    ordinals, counts = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    blocks = np.zeros(terms, np.int64)  # of each term, the first block that reaches into the window
    bounds, order = np.empty(terms, np.int64), np.empty(terms, np.int64)
    units = weights * (formula.k1 + 1.0) * SCORE_UNITS
    matched = 0
    counted = terms == 1 and len(allowed) == 0  # by its list
    for first in range(0, documents, WINDOW):
        window = _Window(first, min(first + WINDOW, documents), sums, known, touched, filled)
        present = 0
        for t in range(terms):
            blocks[t] = _first_block(lists, places[t], blocks[t], first)
            bounds[t] = _bound(lists, formula, places[t], weights[t], blocks[t], window.last)
            present += bounds[t] > 0
        if present == 0:
            continue
        floor = _floor(best, threshold)
        if counted and bounds[0] < floor:
            continue
        _sort(bounds, order)
        hopeless, hope = _hopeless(bounds, order, floor)
        for turn in range(terms - 1, -1, -1):  # the largest bound first
            t = order[turn]
            if bounds[t] == 0:
                continue
            if turn < hopeless:
                blocks[t] = _count(
                    lists,
                    formula,
                    places[t],
                    units[t],
                    blocks[t],
                    window,
                    ordinals,
                    counts,
                    floor - hope,
                )
                hope -= bounds[t]
            else:
                blocks[t] = _score(lists, formula, places[t], units[t], blocks[t], window, ordinals, counts)
        matched += _collect(lists, window, allowed, floor, best)
    return signed(lists.counts[places[0]]) if counted else matched
