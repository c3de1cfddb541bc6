"""A window of documents, whose scores a kernel estimates term by term, and computes for the best, before the next."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import (
    Block,
    Formula,
    Numbers,
    Ordinals,
    ScoredLists,
    Term,
    block_at,
    block_room,
    open_block,
    reaches,
    score_block,
    score_posting,
    units_of_weight,
)
from indexer.bm25.estimates import LARGEST_ESTIMATE, estimate_of_part, sum_of
from indexer.bm25.flags import (
    EVERY,
    Flags,
    bits_set,
    counts_of_list,
    flags_of_list,
    lowest_set,
    steps_of_list,
    words_of,
)
from indexer.bm25.heap import Best, offer, score_to_reach
from indexer.bm25.table import SegmentRow, lists_of
from indexer.compiled import inlined, int64_at, part, signed, uint16_at, uint32_at
from indexer.segment.packing import BLOCK, MOST_IN_ROW, WORD_BITS, number_in_column

WINDOW: Final = 8192
"""Documents that are looked at together; their sums stay in the processor's nearest caches."""

FIRST_WINDOW: Final = 4096
"""Documents of the first window of a query."""

Estimates = npt.NDArray[np.uint16]

_ALL: Final = (1 << WORD_BITS) - 1

_GROUP: Final = 128
"""Documents of which the largest estimate is looked at first."""


class Window(NamedTuple):
    """The documents from ordinal `first` to before `last`.

    Attributes:
        first: the first of them; a multiple of `WORD_BITS`.
        last: the one behind them.
        estimates: of their scores, see `indexer.bm25.estimates`, shape (WINDOW,), uint16; all 0 between two windows,
            and behind the last document.
        chosen: places of those that can be among the best, ascending, shape (WINDOW,), uint32.
        scores: of those that are scored, in units, by place in `chosen`, shape (WINDOW,), int64.
        block: to unpack into.
    """

    first: int
    last: int
    estimates: Estimates
    chosen: Ordinals
    scores: Numbers
    block: Block


WINDOW_ROOM: Final = 7 * WINDOW // 4 + 3 * BLOCK
"""Numbers of int64 that the arrays of a window take."""


@inlined
def window_at(space: int, first: int, last: int) -> Window:
    """A window whose arrays lie at an address.

    Each part of a kernel makes them anew: of arrays that it is given it would count references, at every call and in
    every turn of a loop.
    """
    at = space + 24 * BLOCK
    scores, chosen = int64_at(at, WINDOW), uint32_at(at + 8 * WINDOW, WINDOW)
    return Window(first, last, uint16_at(at + 12 * WINDOW, WINDOW), chosen, scores, block_room(space))


@inlined
def _add(window: Window, block: Block, size: int, scale: float) -> None:
    """Add those postings of a scored block that lie in the window to the estimates."""
    begin, end = 0, size
    if block.ordinals[0] < window.first:
        for i in range(size):
            begin += block.ordinals[i] < window.first
    if block.ordinals[size - 1] >= window.last:
        end = 0
        for i in range(size):
            end += block.ordinals[i] < window.last
    base = np.uint32(window.first)
    for i in range(begin, end):
        at = block.ordinals[i] - base
        window.estimates[at] = sum_of(window.estimates[at], estimate_of_part(block.parts[i], scale))


@part
def add_row(row: SegmentRow, term: Term, step: int, space: int, first: int, last: int) -> None:
    """Add a term whose list is dense to the estimates of the window, given what a step adds to one."""
    estimates, each = window_at(space, first, last).estimates, np.uint16(step)
    steps = steps_of_list(lists_of(row), term)[first:last]
    for i in range(len(steps)):
        estimates[i] = sum_of(estimates[i], np.uint16(steps[i]) * each)


@part
def add_list(  # noqa: PLR0913, PLR0917 - parts are given what kernels have
    row: SegmentRow, formula: Formula, term: Term, number: int, space: int, first: int, last: int, scale: float
) -> None:
    """Add a term to the estimates of the documents of the window that have it, from the first block with any on."""
    lists, window = lists_of(row), window_at(space, first, last)
    block = window.block
    units = units_of_weight(formula, term)
    while reaches(lists, term, number, last):
        at, column, size = open_block(lists, term, number, block)
        score_block(lists, formula, units, at, column, size, block)
        _add(window, block, size, scale)
        number += 1


@part
def add_flags(row: SegmentRow, term: Term, number: int, address: int, first: int, last: int, space: int) -> None:
    """Set the flags of the documents of a window that have a term.

    Args:
        row: of the segment.
        term: to look at.
        number: its first block that reaches into the window.
        address: of the flags of the window.
        first: document of the window.
        last: document of the window.
        space: address of room for a block.
    """
    lists, flags, block = lists_of(row), words_of(address, last - first), block_room(space)
    own = flags_of_list(lists, term)
    if len(own) > 0:
        begin = first // WORD_BITS
        for word in range(len(flags)):
            flags[word] |= own[begin + word]
        return
    while reaches(lists, term, number, last):
        _, _, size = open_block(lists, term, number, block)
        for i in range(size):
            if first <= block.ordinals[i] < last:
                ordinal = block.ordinals[i] - np.uint32(first)
                flags[ordinal >> np.uint32(5)] |= np.uint32(1) << (ordinal & np.uint32(31))
        number += 1


@inlined
def _allowed_word(allowed: int, number: int) -> Any:  # noqa: ANN401 - a number of numba's
    """A word of the flags of the documents that count; `allowed` is their address, or `EVERY`."""
    return np.uint32(_ALL) if allowed == EVERY else uint32_at(allowed + 4 * number, 1)[0]


@part
def count_estimated(space: int, first: int, last: int, allowed: int) -> int:
    """How many documents of the window have an estimate.

    Args:
        space: of the window.
        first: document of the window.
        last: document of the window.
        allowed: address of the flags of those documents of the window that count, or `EVERY`.
    """
    estimates, count = window_at(space, first, last).estimates, 0
    if allowed == EVERY:
        for estimate in estimates[: last - first]:
            count += estimate > 0
        return count
    for number in range((last - first + WORD_BITS - 1) // WORD_BITS):
        count += bits_set(_reaching(estimates, number, 1, LARGEST_ESTIMATE) & _allowed_word(allowed, number))
    return count


@inlined
def _reaching(estimates: Estimates, number: int, least: int, most: int) -> Any:  # noqa: ANN401 - a number of numba's
    """Flags of 32 documents: whether their estimates are from `least` to `most`."""
    start, good, low, high = np.uint32(number * WORD_BITS), np.uint32(0), np.uint16(least), np.uint16(most)
    for i in range(np.uint32(WORD_BITS)):
        estimate = estimates[start + i]
        good |= np.uint32((estimate >= low) & (estimate <= high)) << i
    return good


@part
def choose(space: int, first: int, last: int, allowed: int, least: int, most: int) -> int:
    """Find the documents that count whose estimates are from `least`, over 0, to `most`.

    Args:
        space: of the window.
        first: document of the window.
        last: document of the window.
        allowed: as `count_estimated`.
        least: that an estimate must reach.
        most: that it must not exceed.

    Returns:
        how many there are.
    """
    window, found, low = window_at(space, first, last), 0, np.uint16(least)
    for begin in range(0, last - first if most >= least else 0, _GROUP):
        largest = np.uint16(0)
        for estimate in window.estimates[begin : begin + _GROUP]:
            largest = max(largest, estimate)
        if largest < low:
            continue
        for number in range(begin // WORD_BITS, (begin + _GROUP) // WORD_BITS):
            good = _reaching(window.estimates, number, least, most)
            if good != 0:
                good &= _allowed_word(allowed, number)
            while good != 0:
                window.chosen[found] = np.uint32(number * WORD_BITS) + lowest_set(good)
                found += 1
                good &= good - np.uint32(1)
    return found


@part
def promising_estimate(space: int, first: int, last: int, allowed: int, best: Best) -> int:
    """An estimate that so many documents reach at least as `best` has room for; 1 when too few are seen to.

    Of each 32 one document is looked at, the one with the largest estimate.
    """
    estimates, least = window_at(space, first, last).estimates, signed(0)
    best.size[0] = 0
    for number in range((last - first + WORD_BITS - 1) // WORD_BITS):
        largest = np.uint16(0)
        for estimate in estimates[number * WORD_BITS : (number + 1) * WORD_BITS]:
            largest = max(largest, estimate)
        if signed(largest) > least and _allowed_word(allowed, number) != 0:
            offer(best, signed(largest), 0, 0)
            least = score_to_reach(best, 0)
    return max(least, 1)


@inlined
def _place_in_block(flags: Flags, previous: int, ordinal: int) -> int:
    """How many documents between two have their flag: the place of the second in the block behind the first."""
    start, end = previous + 1, signed(ordinal)
    first, last = start >> 5, end >> 5
    from_start = ~((np.uint32(1) << np.uint32(start & 31)) - np.uint32(1))
    to_end = (np.uint32(1) << np.uint32(end & 31)) - np.uint32(1)
    if first == last:
        return signed(bits_set(flags[first] & from_start & to_end))
    place = signed(bits_set(flags[first] & from_start)) + signed(bits_set(flags[last] & to_end))
    for word in range(first + 1, last):
        place += bits_set(flags[word])
    return place


@inlined
def _score_dense(
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    number: int,
    window: Window,
    flags: Flags,
    count: int,
) -> None:
    """As `score_list`, for a dense list, whose row says how often documents have the term: nothing is unpacked."""
    counts, units = counts_of_list(lists, term), units_of_weight(formula, term)
    for i in range(count):
        ordinal = np.uint32(window.first) + window.chosen[i]
        tf = np.uint32(counts[ordinal])
        if tf == MOST_IN_ROW:
            while number < term.full and lists.block_last[term.first + number] < ordinal:
                number += 1
            at, column, previous, size = block_at(lists, term, number)
            tf = number_in_column(lists.words, at, column, size, _place_in_block(flags, previous, ordinal))
        # Of a document without the term it is 0, and so is what it adds.
        window.scores[i] += score_posting(formula, units, float(tf), float(lists.lengths[ordinal]))


@inlined
def _score_sparse(
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    number: int,
    window: Window,
    count: int,
) -> None:
    """As `score_list`; blocks without any of the documents are not unpacked."""
    units, opened, block = units_of_weight(formula, term), -1, window.block
    at, column, size, here = 0, 0, 0, 0
    for i in range(count):
        ordinal = np.uint32(window.first) + window.chosen[i]
        while number < term.full and lists.block_last[term.first + number] < ordinal:
            number += 1
        if number * BLOCK >= term.postings:
            break
        if opened != number:
            at, column, size = open_block(lists, term, number, block)
            opened, here = number, 0
        while here < size and block.ordinals[here] < ordinal:
            here += 1
        if here < size and block.ordinals[here] == ordinal:
            tf = float(number_in_column(lists.words, at, column, size, here))
            window.scores[i] += score_posting(formula, units, tf, float(lists.lengths[ordinal]))


@part
def score_list(  # noqa: PLR0913, PLR0917 - parts are given what kernels have
    row: SegmentRow,
    formula: Formula,
    term: Term,
    number: int,
    space: int,
    first: int,
    last: int,
    count: int,
) -> None:
    """Add a term to the scores of the chosen documents of the window.

    Args:
        row: of the segment.
        formula: of the scores.
        term: to add.
        number: its first block that reaches into the window.
        space: of the window.
        first: document of the window.
        last: document of the window.
        count: how many documents are chosen.
    """
    lists, window = lists_of(row), window_at(space, first, last)
    flags = flags_of_list(lists, term)
    if len(flags) > 0:
        _score_dense(lists, formula, term, number, window, flags, count)
    else:
        _score_sparse(lists, formula, term, number, window, count)


@inlined
def collect(lists: ScoredLists, window: Window, count: int, threshold: int, best: Best) -> None:
    """Offer the chosen documents, which were scored, to the best."""
    floor = score_to_reach(best, threshold)
    for i in range(count):
        ordinal = window.first + window.chosen[i]
        if window.scores[i] >= floor:
            offer(best, window.scores[i], lists.id_ranks[ordinal], ordinal)
            floor = score_to_reach(best, threshold)
