"""A window of documents, whose scores a kernel adds up term by term before it looks at the next."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import (
    SCORE_UNITS,
    Block,
    Formula,
    Numbers,
    Ordinals,
    ScoredLists,
    block_bound,
    open_block,
    score_block,
    score_posting,
)
from indexer.bm25.heap import Best, offer, score_to_reach
from indexer.compiled import inlined, signed
from indexer.segment.packing import BLOCK, unpack_column

WINDOW: Final = 8192
"""Documents that are looked at together; their sums stay in the processor's nearest caches."""

_MATCHES: Final = 1
_IN_RUNNING: Final = 2
"""What is known of a document: that it has a term, that it may be among the best."""

Flags = npt.NDArray[np.uint8]


class Window(NamedTuple):
    """The documents from ordinal `first` to before `last`.

    Attributes:
        first: the first of them.
        last: the one behind them.
        sums: their scores so far, in units, shape (WINDOW,), int64; 0 for all but those in `chosen`.
        known: what is known of each, shape (WINDOW,), uint8.
        chosen: places of those whose scores are added up, shape (WINDOW + 1,), uint32.
        hits: places in a block, shape (BLOCK + 1,), uint32.
    """

    first: int
    last: int
    sums: Numbers
    known: Flags
    chosen: Ordinals
    hits: Ordinals


@inlined
def none_counts(window: Window, allowed: Flags) -> bool:
    """Whether no document of the window is allowed."""
    joined = np.uint8(0)
    for ordinal in range(window.first, window.last):
        joined |= allowed[ordinal]
    return bool(joined == 0)


@inlined
def _inside(window: Window, block: Block, size: int) -> Any:  # noqa: ANN401 - integers of numba's
    """Which postings of a block lie in the window, as first and last + 1."""
    begin, end = 0, size
    if block.ordinals[0] < window.first:
        for i in range(size):
            begin += block.ordinals[i] < window.first
    if block.ordinals[size - 1] >= window.last:
        end = 0
        for i in range(size):
            end += block.ordinals[i] < window.last
    return begin, end


@inlined
def _mark(window: Window, block: Block, begin: int, end: int) -> None:
    """Note that documents have a term."""
    base = np.uint32(window.first)
    for i in range(begin, end):
        window.known[block.ordinals[i] - base] |= np.uint8(_MATCHES)


@inlined
def _add(window: Window, block: Block, begin: int, end: int, chosen: int) -> int:
    """Add a scored block to the sums. Returns how many documents are chosen then."""
    base = np.uint32(window.first)
    for i in range(begin, end):
        slot = block.ordinals[i] - base
        window.sums[slot] += block.parts[i]
        window.chosen[chosen] = slot
        chosen += window.known[slot] < _IN_RUNNING
        window.known[slot] = np.uint8(_MATCHES | _IN_RUNNING)
    return chosen


@inlined
def score(  # noqa: PLR0913, PLR0917 - kernels have no objects to keep these in
    lists: ScoredLists,
    formula: Formula,
    place: int,
    weight: float,
    number: int,
    window: Window,
    block: Block,
    chosen: int,
    needed: int,
) -> Any:  # noqa: ANN401 - integers of numba's
    """Add a term to the sums of the documents of the window that have it, but where a block stays below `needed`.

    Returns:
        its first block of the next window, and how many documents are chosen now.
    """
    units = weight * (formula.k1 + 1.0) * SCORE_UNITS
    while number * BLOCK < signed(lists.counts[place]):
        at, column, size = open_block(lists, place, number, block)
        if block.ordinals[0] >= window.last:
            break
        begin, end = _inside(window, block, size)
        if block_bound(lists, formula, place, weight, number) < needed:
            _mark(window, block, begin, end)
        else:
            score_block(lists, formula, units, at, column, size, block)
            chosen = _add(window, block, begin, end, chosen)
        if block.ordinals[size - 1] >= window.last:
            break
        number += 1
    return number, chosen


@inlined
def choose(window: Window, chosen: int, needed: int) -> int:
    """Forget the scores of all documents that have less than they need. Returns how many are left."""
    left = 0
    for i in range(chosen):
        slot = window.chosen[i]
        fits = window.sums[slot] >= needed
        window.chosen[left] = slot
        left += fits
        window.known[slot] = np.uint8(_MATCHES | _IN_RUNNING) if fits else np.uint8(_MATCHES)
        window.sums[slot] = window.sums[slot] if fits else 0
    return left


@inlined
def _complete(  # noqa: PLR0913, PLR0917 - see `score`
    lists: ScoredLists,
    formula: Formula,
    units: float,
    at: int,
    column: int,
    size: int,
    window: Window,
    block: Block,
    begin: int,
    end: int,
) -> None:
    """Note that documents have a term, and add it to the sums of those that are chosen."""
    base = np.uint32(window.first)
    hits = 0
    for i in range(begin, end):
        slot = block.ordinals[i] - base
        known = window.known[slot]
        window.hits[hits] = np.uint32(i)
        hits += signed(known >> np.uint8(1))
        window.known[slot] = known | np.uint8(_MATCHES)
    if hits == 0:
        return
    unpack_column(lists.words, at, column, size, block.counts)
    for hit in range(hits):
        ordinal = block.ordinals[window.hits[hit]]
        tf = float(block.counts[window.hits[hit]])
        window.sums[ordinal - base] += score_posting(formula, units, tf, float(lists.lengths[ordinal]))


@inlined
def complete(  # noqa: PLR0913, PLR0917 - see `score`
    lists: ScoredLists,
    formula: Formula,
    place: int,
    weight: float,
    number: int,
    window: Window,
    block: Block,
    chosen: int,
) -> int:
    """Count the documents of the window that have a term, and add it to the sums of those that are chosen.

    Returns:
        its first block of the next window.
    """
    units = weight * (formula.k1 + 1.0) * SCORE_UNITS
    while number * BLOCK < signed(lists.counts[place]):
        at, column, size = open_block(lists, place, number, block)
        if block.ordinals[0] >= window.last:
            break
        begin, end = _inside(window, block, size)
        if chosen == 0:
            _mark(window, block, begin, end)
        else:
            _complete(lists, formula, units, at, column, size, window, block, begin, end)
        if block.ordinals[size - 1] >= window.last:
            break
        number += 1
    return number


@inlined
def collect(lists: ScoredLists, window: Window, chosen: int, allowed: Flags, threshold: int, best: Best) -> None:
    """Offer the chosen documents to the best, and forget their scores."""
    floor = score_to_reach(best, threshold)
    for i in range(chosen):
        slot = window.chosen[i]
        ordinal = window.first + slot
        if window.sums[slot] >= floor and (len(allowed) == 0 or allowed[ordinal] != 0):
            offer(best, window.sums[slot], lists.id_ranks[ordinal], ordinal)
            floor = score_to_reach(best, threshold)
        window.sums[slot] = 0


@inlined
def count(window: Window, allowed: Flags) -> int:
    """How many documents of the window have a term and are allowed; this is forgotten."""
    matched, size = 0, window.last - window.first
    for slot in range(size):
        window.known[slot] &= np.uint8(_MATCHES)
    if len(allowed) > 0:
        for slot in range(size):
            window.known[slot] &= np.uint8(allowed[window.first + slot] != 0)
    for slot in range(size):
        matched += window.known[slot]
    window.known[:] = 0
    return matched
