"""The kernel of a query: the best documents of one segment, by block-max MaxScore over windows of ordinals.

In each window every term has an upper bound, from the block maxima of the blocks that reach into it. Terms whose bounds
together stay below the worst of the best hits so far cannot bring in a document alone (MaxScore: Turtle and Flood,
Query evaluation: strategies and optimizations, 1995; over blocks: Ding and Suel, Faster top-k document retrieval using
block-max indexes, 2011; the windows are Lucene's BlockMaxMaxScoreBulkScorer). Their postings are only counted, and
scored where a document of the other terms is still in the running; a window without hope is only counted.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import (
    SCORE_UNITS,
    Block,
    Formula,
    Numbers,
    ScoredLists,
    block_bound,
    first_block,
    open_block,
    score_block,
    span_bound,
)
from indexer.bm25.heap import Best, offer, score_to_reach
from indexer.bm25.window import WINDOW, Flags, Window, choose, collect, complete, count, none_counts, score
from indexer.compiled import float64, inlined, int64, kernel, readable, record, signed, uint8, uint32, uint64, writable
from indexer.segment.packing import BLOCK

NO_THRESHOLD: Final = -(1 << 62)
"""Below any score."""

Weights = npt.NDArray[np.float64]


@inlined
def _best_of_term(  # noqa: PLR0913, PLR0917 - kernels have no objects to keep these in
    lists: ScoredLists,
    formula: Formula,
    place: int,
    weight: float,
    allowed: Flags,
    threshold: int,
    best: Best,
    block: Block,
) -> int:
    """The best documents for one term, which need no sums; blocks without hope are not looked at."""
    units = weight * (formula.k1 + 1.0) * SCORE_UNITS
    matched, size = 0, signed(lists.counts[place])
    for number in range((size + BLOCK - 1) // BLOCK):
        floor = score_to_reach(best, threshold)
        hopeless = block_bound(lists, formula, place, weight, number) < floor
        if hopeless and len(allowed) == 0:
            continue
        at, column, postings = open_block(lists, place, number, block)
        if len(allowed) > 0:
            here = 0
            for i in range(postings):
                here += allowed[block.ordinals[i]] != 0
            matched += here
            hopeless |= here == 0
        if hopeless:
            continue
        score_block(lists, formula, units, at, column, postings, block)
        for i in range(postings):
            ordinal = block.ordinals[i]
            if block.parts[i] >= floor and (len(allowed) == 0 or allowed[ordinal] != 0):
                offer(best, block.parts[i], lists.id_ranks[ordinal], ordinal)
                floor = score_to_reach(best, threshold)
    return size if len(allowed) == 0 else matched


@inlined
def _best_of_terms(  # noqa: PLR0913, PLR0917 - see `_best_of_term`
    lists: ScoredLists,
    formula: Formula,
    places: Numbers,
    weights: Weights,
    allowed: Flags,
    threshold: int,
    best: Best,
    block: Block,
) -> int:
    """The best documents for several terms, window by window."""
    terms, documents = len(places), len(lists.lengths)
    sums, known = np.zeros(WINDOW, np.int64), np.zeros(WINDOW, np.uint8)
    slots, hits = np.empty(WINDOW + 1, np.uint32), np.empty(BLOCK + 1, np.uint32)
    blocks = np.zeros(terms, np.int64)  # of each term, the first block that reaches into the window
    bounds, order = np.empty(terms, np.int64), np.empty(terms, np.int64)
    matched = 0
    for first in range(0, documents, WINDOW):
        window = Window(first, min(first + WINDOW, documents), sums, known, slots, hits)
        if len(allowed) > 0 and none_counts(window, allowed):
            continue
        together = 0
        for t in range(terms):
            blocks[t] = first_block(lists, places[t], blocks[t], first)
            bounds[t] = span_bound(lists, formula, places[t], weights[t], blocks[t], window.last)
            together += bounds[t]
        if together == 0:
            continue
        floor = score_to_reach(best, threshold)
        _sort(bounds, order)
        hopeless, hope = _hopeless(bounds, order, floor)
        chosen = 0
        for turn in range(terms - 1, hopeless - 1, -1):  # the largest bound first
            t = order[turn]
            needed = floor - (together - bounds[t])
            blocks[t], chosen = score(lists, formula, places[t], weights[t], blocks[t], window, block, chosen, needed)
        chosen = choose(window, chosen, floor - hope)
        for turn in range(hopeless - 1, -1, -1):
            t = order[turn]
            if bounds[t] > 0:
                blocks[t] = complete(lists, formula, places[t], weights[t], blocks[t], window, block, chosen)
        collect(lists, window, chosen, allowed, threshold, best)
        matched += count(window, allowed)
    return matched


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
    block = Block(
        np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.float64), np.empty(BLOCK, np.int64)
    )
    if len(places) == 1:
        return _best_of_term(lists, formula, places[0], weights[0], allowed, threshold, best, block)
    return _best_of_terms(lists, formula, places, weights, allowed, threshold, best, block)
