"""The kernel of a query: the best documents of all segments, by block-max MaxScore over windows of ordinals.

What matches is counted apart, as a union of flags. So a posting is looked at only where its document may be among the
best.

In each window every term has an upper bound, from the block maxima of the blocks that reach into it. Terms whose bounds
together stay below the worst of the best hits so far cannot bring in a document alone (MaxScore: Turtle and Flood,
Query evaluation: strategies and optimizations, 1995; over blocks: Ding and Suel, Faster top-k document retrieval using
block-max indexes, 2011; the windows are Lucene's BlockMaxMaxScoreBulkScorer). They are looked up for the documents of
the other terms that are still in the running; a window without hope is not looked at.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import (
    LOCATED,
    Block,
    Formula,
    Numbers,
    Ordinals,
    ScoredLists,
    Term,
    block_bound,
    blocks_in,
    first_block,
    open_block,
    score_block,
    span_bound,
    term_of,
    units_of,
    units_of_weight,
)
from indexer.bm25.bounds import BOUND_STEP
from indexer.bm25.flags import EVERY, Flags, add_flags, count_set, frequency, is_set, words_of
from indexer.bm25.heap import Best, new_best, offer, score_to_reach
from indexer.bm25.scoring import K1, B
from indexer.bm25.table import Rows, lists_of, row_of
from indexer.bm25.window import FIRST_WINDOW, WINDOW, Window, choose, collect, complete, is_empty, keep, score
from indexer.compiled import (
    float64,
    float64_at,
    inlined,
    int64,
    int64_at,
    kernel,
    part,
    readable,
    signed,
    uint32_at,
    writable,
)
from indexer.segment.dictionary import ABSENT
from indexer.segment.packing import BLOCK, flag_words

NO_THRESHOLD: Final = -(1 << 62)
"""Below any score."""

POSTINGS_A_CALL: Final = 1 << 22
"""About as many as take ten milliseconds; then the caller looks at the clock."""

HIT_SCORE: Final = 0
HIT_SEGMENT: Final = 1
HIT_ORDINAL: Final = 2
HIT_COLUMNS: Final = 3
"""Columns of a table of hits, and their number."""

Weights = npt.NDArray[np.float64]


class Asked(NamedTuple):
    """The terms of a query that a segment has.

    Attributes:
        located: as `indexer.bm25.lookup` gives them, shape (terms, LOCATED), int64.
        weights: repetitions times idf, shape (terms,), float64.
    """

    located: Numbers
    weights: Weights


class Room(NamedTuple):
    """What a query needs once for all segments.

    Attributes:
        block: to unpack into.
        sums: as in `Window`.
        chosen: as in `Window`.
    """

    block: Block
    sums: Numbers
    chosen: Ordinals


ROOM: Final = WINDOW + WINDOW // 2 + 3 * BLOCK
"""Numbers of int64 that the arrays of `Room` take."""


@inlined
def _room(space: Numbers) -> Room:
    """Divide space up, shape (ROOM,), int64."""
    at = space.ctypes.data
    sums, chosen = int64_at(at, WINDOW), uint32_at(at + 8 * WINDOW, WINDOW)
    sums[:] = 0
    at += 12 * WINDOW
    ordinals, counts = uint32_at(at, BLOCK), uint32_at(at + 4 * BLOCK, BLOCK)
    block = Block(ordinals, counts, float64_at(at + 8 * BLOCK, BLOCK), int64_at(at + 16 * BLOCK, BLOCK))
    return Room(block, sums, chosen)


@inlined
def _asked(located: Numbers, weights: Weights, asked: Asked) -> Asked:
    """Those terms that a segment has; `asked` has room for all."""
    held = 0
    for t in range(len(located)):
        if located[t, 0] != ABSENT:
            asked.located[held], asked.weights[held] = located[t], weights[t]
            held += 1
    return Asked(asked.located[:held], asked.weights[:held])


@inlined
def _term(asked: Asked, number: int) -> Term:
    return term_of(asked.located[number], asked.weights[number])


@inlined
def _is_hopeless(formula: Formula, asked: Asked, threshold: int) -> bool:
    """Whether all terms together stay below the threshold in any document."""
    together = 0
    for t in range(len(asked.weights)):
        term = _term(asked, t)
        together += units_of(formula, term.weight, term.steps)
    return together < threshold


@part
def _best_of_term(
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    allowed: int,
    threshold: int,
    best: Best,
    block: Block,
) -> None:
    """The best documents for one term, which need no sums; blocks without hope are not looked at."""
    flags = words_of(allowed, len(lists.lengths))
    units = units_of_weight(formula, term)
    for number in range(blocks_in(term)):
        floor = score_to_reach(best, threshold)
        if block_bound(lists, formula, term, number) < floor:
            continue
        at, column, postings = open_block(lists, term, number, block)
        score_block(lists, formula, units, at, column, postings, block)
        for i in range(postings):
            ordinal = block.ordinals[i]
            if block.parts[i] >= floor and (allowed == EVERY or is_set(flags, ordinal)):
                offer(best, block.parts[i], lists.id_ranks[ordinal], ordinal)
                floor = score_to_reach(best, threshold)


@part
def _best_of_terms(
    lists: ScoredLists,
    formula: Formula,
    asked: Asked,
    matching: Flags,
    threshold: int,
    best: Best,
    room: Room,
) -> None:
    """The best documents for several terms, window by window."""
    block, terms, documents = room.block, len(asked.weights), len(lists.lengths)
    blocks = np.zeros(terms, np.int64)  # of each term, the first block that reaches into the window
    bounds, order = np.empty(terms, np.int64), np.empty(terms, np.int64)
    last = 0
    while last < documents:
        first, floor = last, score_to_reach(best, threshold)
        # Without a threshold all is scored, and a good one is found among few documents: such windows double.
        size = WINDOW if threshold > NO_THRESHOLD else min(max(first, FIRST_WINDOW), WINDOW)
        last = min(first + size, documents)
        window = Window(first, last, room.sums, room.chosen)
        if is_empty(window, matching):
            continue
        together = 0
        for t in range(terms):
            blocks[t] = first_block(lists, _term(asked, t), blocks[t], first)
            bounds[t] = span_bound(lists, formula, _term(asked, t), blocks[t], window.last)
            together += bounds[t]
        if together < floor:
            continue
        _sort(bounds, order)
        hopeless, hope = _hopeless(bounds, order, floor)
        for turn in range(terms - 1, hopeless - 1, -1):  # the largest bound first
            t = order[turn]
            needed = floor - (together - bounds[t])
            blocks[t] = score(lists, formula, _term(asked, t), blocks[t], window, block, needed)
        chosen = choose(window, matching, floor - hope)
        for turn in range(hopeless - 1, -1, -1):
            t = order[turn]
            if bounds[t] > 0:
                blocks[t] = complete(lists, formula, _term(asked, t), blocks[t], window, block, chosen)
            hope -= bounds[t]
            chosen = keep(window, chosen, floor - hope)
        collect(lists, window, chosen, threshold, best)
        window.sums[:] = 0


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


@part
def _matching(lists: ScoredLists, asked: Asked, allowed: int, block: Block) -> Flags:
    """Flags of the documents that have a term and are allowed."""
    documents = len(lists.lengths)
    matching = np.zeros(flag_words(documents), np.uint32)
    for t in range(len(asked.weights)):
        add_flags(lists, _term(asked, t), matching, block)
    if allowed != EVERY:
        flags = words_of(allowed, documents)
        for word in range(len(matching)):
            matching[word] &= flags[word]
    return matching


@part
def _keep(segment: int, best: Best, overall: Best, hits: Rows, found: Numbers) -> None:
    """Put the best of a segment among the hits, and drop the hits that are not among the best any more."""
    for each in range(best.size[0]):
        hits[found[0], HIT_SCORE] = best.scores[each]
        hits[found[0], HIT_SEGMENT] = segment
        hits[found[0], HIT_ORDINAL] = signed(best.ordinals[each])
        offer(overall, best.scores[each], 0, 0)
        found[0] += 1
    threshold = score_to_reach(overall, NO_THRESHOLD)
    kept = 0
    for each in range(found[0]):
        hits[kept] = hits[each]
        kept += hits[each, HIT_SCORE] >= threshold
    found[0] = kept


@kernel(
    int64,
    readable(int64, dimensions=2),
    readable(float64),
    readable(int64),
    float64,
    int64,
    readable(int64, dimensions=3),
    readable(float64),
    int64,
    int64,
    writable(int64, dimensions=2),
    writable(int64),
    writable(int64),
)
def best_documents(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    rows: Rows,
    averages: Weights,
    allowed: Rows,
    average_length: float,
    first: int,
    located: Numbers,
    weights: Weights,
    limit: int,
    enough: int,
    hits: Rows,
    found: Numbers,
    space: Numbers,
) -> int:
    """Find the best documents of segments, those with the worst score of them included.

    Args:
        rows: of `SegmentTable`.
        averages: of `SegmentTable`.
        allowed: address of the flags of the documents that count, or `EVERY`, shape (segments,), int64.
        average_length: of the snapshot, in terms.
        first: row of the segment to begin with.
        located: the terms in each segment, by `indexer.bm25.lookup`, shape (segments, terms, LOCATED), int64.
        weights: of each term, repetitions times idf, shape (terms,), float64.
        limit: how many hits are wanted.
        enough: postings after which to return, behind the segment that has the last of them.
        hits: those that were found before, and takes those that are found; score in units, row of the segment and
            ordinal, shape (limit of each segment together, 3), int64.
        found: how many hits and how many matches there are, shape (2,), int64; counts on.
        space: to work in, shape (ROOM,), int64.

    Returns:
        row of the segment to go on with, the number of segments when all are searched.
    """
    overall = new_best(limit)
    for hit in range(found[0]):
        offer(overall, hits[hit, HIT_SCORE], 0, 0)
    room = _room(space)
    everything = Asked(np.empty((len(weights), LOCATED), np.int64), np.empty(len(weights), np.float64))
    segment, postings = first, 0
    while segment < len(rows) and postings < enough:
        lists = lists_of(row_of(rows, segment))
        asked = _asked(located[segment], weights, everything)
        stretched = max(1.0, average_length / averages[segment])  # see `indexer.bm25.postings`
        formula = Formula(K1, K1 * (1 - B), K1 * B / average_length, BOUND_STEP * stretched)
        best, threshold = new_best(min(limit, len(lists.lengths))), score_to_reach(overall, NO_THRESHOLD)
        hopeless = _is_hopeless(formula, asked, threshold)
        if len(asked.weights) == 1:
            term = _term(asked, 0)
            matched = frequency(lists, term, allowed[segment], room.block)
            found[1] += matched
            if matched > 0 and not hopeless:
                _best_of_term(lists, formula, term, allowed[segment], threshold, best, room.block)
        elif len(asked.weights) > 1:
            matching = _matching(lists, asked, allowed[segment], room.block)
            found[1] += count_set(matching)
            if not hopeless:
                _best_of_terms(lists, formula, asked, matching, threshold, best, room)
        for t in range(len(asked.weights)):
            postings += _term(asked, t).postings
        _keep(segment, best, overall, hits, found)
        segment += 1
    return segment
