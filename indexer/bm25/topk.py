"""The kernel of a query: the best documents of all segments, by block-max pruning over windows of ordinals.

In each window every term has an upper bound, from the block maxima of the blocks that reach into it (block-max indexes:
Ding and Suel, Faster top-k document retrieval using block-max indexes, 2011; the windows are those of Lucene's
BlockMaxMaxScoreBulkScorer). In a window whose bounds together stay below the worst of the best hits so far, what
matches is only counted, as a union of flags (the upper bounds of MaxScore: Turtle and Flood, Query evaluation:
strategies and optimizations, 1995). In all others every document gets an estimate (`indexer.bm25.estimates`), those
with one are counted, and those are scored whose estimate is good enough.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import (
    LOCATED,
    Formula,
    Numbers,
    Term,
    block_bound,
    block_room,
    blocks_in,
    first_block,
    open_block,
    score_block,
    span_bound,
    term_of,
    units_of_weight,
)
from indexer.bm25.bounds import BOUND_STEP
from indexer.bm25.estimates import LARGEST_ESTIMATE, estimate_of_step, estimate_scale, estimate_to_reach
from indexer.bm25.flags import EVERY, count_set, frequency, is_set, words_of
from indexer.bm25.heap import BEST_SIZE, HIT_SIZE, Best, best_at, new_best, offer, score_to_reach
from indexer.bm25.scoring import K1, B
from indexer.bm25.table import Rows, SegmentRow, lists_of, row_of
from indexer.bm25.window import (
    FIRST_WINDOW,
    WINDOW,
    add_flags,
    add_list,
    add_row,
    choose,
    collect,
    count_estimated,
    promising_estimate,
    score_list,
    window_at,
)
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
    writable,
)
from indexer.segment.dictionary import ABSENT
from indexer.segment.packing import WORD_BITS, is_dense

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
    """Where lies what a query needs once for all segments: addresses.

    Attributes:
        window: see `window_at`.
        located: of the terms that a segment has, shape (terms, LOCATED), int64.
        weights: of these, shape (terms,), float64.
        blocks: of each, the first block that reaches into the window, shape (terms,), int64.
        bounds: of each, the most it adds in the window, shape (terms,), int64.
        overall: the best of all segments.
        best: those of a segment.
        promising: those of a window.
        matching: flags of the documents of a window that match.
    """

    window: int
    located: int
    weights: int
    blocks: int
    bounds: int
    overall: int
    best: int
    promising: int
    matching: int


def room_for(terms: int, limit: int) -> int:
    """Numbers of int64 that `Room` takes beside the window.

    Args:
        terms: of the query.
        limit: how many hits are wanted.
    """
    hits = 3 * (BEST_SIZE + HIT_SIZE * limit)
    return (LOCATED + 3) * terms + hits + WINDOW // (2 * WORD_BITS)


@inlined
def _room(window: int, space: int, terms: int, limit: int) -> Room:
    """Divide space up that begins at an address."""
    weights = space + 8 * LOCATED * terms
    overall, size = weights + 24 * terms, 8 * (BEST_SIZE + HIT_SIZE * limit)
    return Room(
        window,
        space,
        weights,
        weights + 8 * terms,
        weights + 16 * terms,
        overall,
        overall + size,
        overall + 2 * size,
        overall + 3 * size,
    )


@inlined
def _asked_in(room: Room, terms: int) -> Asked:
    """So many terms that a segment has."""
    return Asked(int64_at(room.located, terms * LOCATED).reshape(terms, LOCATED), float64_at(room.weights, terms))


@inlined
def _asked(located: Numbers, weights: Weights, room: Room) -> Asked:
    """Those terms that a segment has."""
    asked, held = _asked_in(room, len(weights)), 0
    for t in range(len(weights)):
        if located[t, 0] != ABSENT:
            for field in range(LOCATED):
                asked.located[held, field] = located[t, field]
            asked.weights[held] = weights[t]
            held += 1
    return _asked_in(room, held)


@inlined
def _term(asked: Asked, number: int) -> Term:
    return term_of(asked.located[number], asked.weights[number])


@part
def _best_of_term(
    row: SegmentRow, formula: Formula, term: Term, allowed: int, threshold: int, limit: int, room: Room
) -> None:
    """The best documents for one term, which need no sums; blocks without hope are not looked at."""
    lists, best, block = lists_of(row), best_at(room.best, limit), block_room(room.window)
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
    row: SegmentRow, formula: Formula, terms: int, allowed: int, threshold: int, limit: int, room: Room
) -> int:
    """The best documents for several terms, window by window. Returns how many there are that match."""
    asked, best, documents, matches = _asked_in(room, terms), best_at(room.best, limit), row.documents, 0
    scale = estimate_scale(formula, asked.weights)
    int64_at(room.blocks, terms)[:] = 0
    last = 0
    while last < documents:
        first, floor = last, score_to_reach(best, threshold)
        # Without a threshold all is estimated, and a good one is found among few documents: such windows double.
        size = WINDOW if threshold > NO_THRESHOLD else min(max(first, FIRST_WINDOW), WINDOW)
        last = min(first + size, documents)
        together = _bound(row, formula, asked, room, first, last)
        flags = EVERY if allowed == EVERY else allowed + first // 8
        if 0 < together < floor:
            matches += _count(row, asked, room, first, last, flags)
        elif together > 0:
            _estimate(row, formula, asked, room, first, last, scale)
            matches += count_estimated(room.window, first, last, flags)
            most = LARGEST_ESTIMATE
            if floor == NO_THRESHOLD:
                promising = promising_estimate(room.window, first, last, flags, best_at(room.promising, limit))
                chosen = choose(room.window, first, last, flags, promising, most)
                _score(row, formula, asked, room, first, last, chosen)
                collect(lists_of(row), window_at(room.window, first, last), chosen, threshold, best)
                floor, most = score_to_reach(best, threshold), promising - 1
            chosen = choose(room.window, first, last, flags, estimate_to_reach(floor, scale), most)
            _score(row, formula, asked, room, first, last, chosen)
            collect(lists_of(row), window_at(room.window, first, last), chosen, threshold, best)
            window_at(room.window, first, last).estimates[:] = 0
    return matches


@inlined
def _bound(row: SegmentRow, formula: Formula, asked: Asked, room: Room, first: int, last: int) -> int:
    """Find the blocks and bounds of the terms in the window. Returns the bound of all together."""
    lists, terms, together = lists_of(row), len(asked.weights), signed(0)
    blocks, bounds = int64_at(room.blocks, terms), int64_at(room.bounds, terms)
    for t in range(terms):
        term = _term(asked, t)
        blocks[t] = first_block(lists, term, blocks[t], first)
        bounds[t] = span_bound(lists, formula, term, blocks[t], last)
        together += bounds[t]
    return together


@inlined
def _estimate(row: SegmentRow, formula: Formula, asked: Asked, room: Room, first: int, last: int, scale: float) -> None:
    """Estimate the documents of the window."""
    terms = len(asked.weights)
    blocks, bounds = int64_at(room.blocks, terms), int64_at(room.bounds, terms)
    for t in range(terms):
        term = _term(asked, t)
        if bounds[t] > 0 and is_dense(term.postings, row.documents):
            add_row(row, term, estimate_of_step(formula, term.weight, scale), room.window, first, last)
        elif bounds[t] > 0:
            add_list(row, formula, term, blocks[t], room.window, first, last, scale)


@inlined
def _count(row: SegmentRow, asked: Asked, room: Room, first: int, last: int, allowed: int) -> int:
    """Count the documents of the window that match, which get no estimate."""
    terms = len(asked.weights)
    blocks, bounds = int64_at(room.blocks, terms), int64_at(room.bounds, terms)
    flags = words_of(room.matching, last - first)
    flags[:] = 0
    for t in range(terms):
        if bounds[t] > 0:
            add_flags(row, _term(asked, t), blocks[t], room.matching, first, last, room.window)
    if allowed != EVERY:
        kept = words_of(allowed, last - first)
        for word in range(len(flags)):
            flags[word] &= kept[word]
    return count_set(flags)


@inlined
def _score(row: SegmentRow, formula: Formula, asked: Asked, room: Room, first: int, last: int, chosen: int) -> None:
    """Compute the scores of the chosen documents of the window."""
    terms = len(asked.weights) if chosen > 0 else 0
    window_at(room.window, first, last).scores[:chosen] = 0
    blocks, bounds = int64_at(room.blocks, terms), int64_at(room.bounds, terms)
    for t in range(terms):
        if bounds[t] > 0:
            score_list(row, formula, _term(asked, t), blocks[t], room.window, first, last, chosen)


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
    int64,
    int64,
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
    window: int,
    space: int,
) -> int:
    """Find the best documents of segments, those with the worst score of them included.

    Args:
        rows: of `SegmentTable`.
        averages: of `SegmentTable`.
        allowed: address of the flags of the documents that count, or `EVERY`, shape (segments,), int64.
        average_length: of the snapshot, in terms.
        first: row of the segment to begin with.
        located: the terms in each segment, by `look_up`, shape (segments, terms, LOCATED), int64.
        weights: of each term, repetitions times idf, shape (terms,), float64.
        limit: how many hits are wanted.
        enough: postings after which to return, behind the segment that has the last of them.
        hits: those that were found before, and takes those that are found; score in units, row of the segment and
            ordinal, shape (limit of each segment together, 3), int64.
        found: how many hits and how many matches there are, shape (2,), int64; counts on.
        window: address of room for `indexer.bm25.window.window_at`; all 0 at the first of all calls, and left alone
            between any two.
        space: address of numbers to work in, shape (`room_for`,), int64.

    Returns:
        row of the segment to go on with, the number of segments when all are searched.
    """
    room = _room(window, space, len(weights), limit)
    overall = new_best(room.overall, limit)
    for hit in range(found[0]):
        offer(overall, hits[hit, HIT_SCORE], 0, 0)
    segment, postings = first, 0
    while segment < len(rows) and postings < enough:
        row = row_of(rows, segment)
        asked = _asked(located[segment], weights, room)
        stretched = max(1.0, average_length / averages[segment])  # see `indexer.bm25.postings`
        formula = Formula(K1, K1 * (1 - B), K1 * B / average_length, BOUND_STEP * stretched)
        at_most, terms = min(limit, row.documents), len(asked.weights)
        best, threshold = new_best(room.best, at_most), score_to_reach(overall, NO_THRESHOLD)
        if terms == 1 and not is_dense(_term(asked, 0).postings, row.documents):
            term = _term(asked, 0)
            matched = frequency(lists_of(row), term, allowed[segment], block_room(room.window))
            found[1] += matched
            if matched > 0:
                _best_of_term(row, formula, term, allowed[segment], threshold, at_most, room)
        elif terms > 0:
            found[1] += _best_of_terms(row, formula, terms, allowed[segment], threshold, at_most, room)
        for t in range(terms):
            postings += _term(asked, t).postings
        _keep(segment, best, overall, hits, found)
        segment += 1
    return segment
