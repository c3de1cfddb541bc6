"""A window of documents, whose scores a kernel adds up term by term before it looks at the next."""

from typing import Final, NamedTuple

import numpy as np

from indexer.bm25.blocks import (
    Block,
    Formula,
    Numbers,
    Ordinals,
    ScoredLists,
    Term,
    block_at,
    block_bound,
    open_block,
    score_block,
    score_posting,
    units_of_weight,
)
from indexer.bm25.flags import Flags, bits_set, flags_of_list, is_set
from indexer.bm25.heap import Best, offer, score_to_reach
from indexer.compiled import inlined, part, signed
from indexer.segment.packing import BLOCK, WORD_BITS, number_in_column

WINDOW: Final = 8192
"""Documents that are looked at together; their sums stay in the processor's nearest caches."""

FIRST_WINDOW: Final = 512
"""Documents of the first window of a query."""


class Window(NamedTuple):
    """The documents from ordinal `first` to before `last`.

    Attributes:
        first: the first of them; a multiple of `WORD_BITS`.
        last: the one behind them.
        sums: their scores so far, in units, shape (WINDOW,), int64; all 0 between two windows.
        chosen: places of those that can be among the best, ascending, shape (WINDOW,), uint32.
    """

    first: int
    last: int
    sums: Numbers
    chosen: Ordinals


@inlined
def is_empty(window: Window, matching: Flags) -> bool:
    """Whether no document of the window matches."""
    joined = np.uint32(0)
    for word in range(window.first // WORD_BITS, (window.last + WORD_BITS - 1) // WORD_BITS):
        joined |= matching[word]
    return bool(joined == 0)


@inlined
def _add(window: Window, block: Block, size: int) -> None:
    """Add those postings of a scored block that lie in the window to the sums."""
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
        window.sums[block.ordinals[i] - base] += block.parts[i]


@part
def score(
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    number: int,
    window: Window,
    block: Block,
    needed: int,
) -> int:
    """Add a term to the sums of the documents of the window that have it, but for blocks that stay below `needed`.

    Returns:
        its first block of the next window.
    """
    units = units_of_weight(formula, term)
    while number * BLOCK < term.postings:
        if number > 0 and signed(lists.block_last[term.first + number - 1]) >= window.last - 1:
            break
        if block_bound(lists, formula, term, number) >= needed:
            at, column, size = open_block(lists, term, number, block)
            score_block(lists, formula, units, at, column, size, block)
            _add(window, block, size)
        if number == term.full or signed(lists.block_last[term.first + number]) >= window.last:
            break
        number += 1
    return number


@part
def choose(window: Window, matching: Flags, needed: int) -> int:
    """Find the documents whose sums are what they need at least. Returns how many there are."""
    found, sums, chosen = 0, window.sums, window.chosen
    first = np.uint32(window.first) >> np.uint32(5)
    for group in range(np.uint32(window.last - window.first + WORD_BITS - 1) >> np.uint32(5)):
        word = matching[first + np.uint32(group)]
        start = np.uint32(group) << np.uint32(5)
        largest = sums[start]
        for i in range(np.uint32(WORD_BITS)):
            largest = max(largest, sums[start + i])
        if word == 0 or largest < needed:
            continue
        for i in range(np.uint32(WORD_BITS)):
            chosen[found] = start + i
            found += signed((word >> i) & np.uint32(1)) & (sums[start + i] >= needed)
    return found


@inlined
def keep(window: Window, chosen: int, needed: int) -> int:
    """Forget those chosen documents that have less than they need. Returns how many are left."""
    left = 0
    for i in range(chosen):
        slot = window.chosen[i]
        window.chosen[left] = slot
        left += window.sums[slot] >= needed
    return left


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
def _complete_flagged(  # noqa: PLR0913, PLR0917 - see `score`
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    units: float,
    number: int,
    window: Window,
    flags: Flags,
    chosen: int,
) -> int:
    """As `complete`, for a list with flags: these say where in a block a posting is, so that none is unpacked."""
    last, lengths, sums = lists.block_last, lists.lengths, window.sums
    opened, at, column, previous, size = -1, 0, 0, 0, 0
    for i in range(chosen):
        slot = window.chosen[i]
        ordinal = np.uint32(window.first) + slot
        if not is_set(flags, ordinal):
            continue
        while number < term.full and last[term.first + number] < ordinal:
            number += 1
        if opened != number:
            at, column, previous, size = block_at(lists, term, number)
            opened = number
        here = _place_in_block(flags, previous, ordinal)
        tf = float(number_in_column(lists.words, at, column, size, here))
        sums[slot] += score_posting(formula, units, tf, float(lengths[ordinal]))
    return number


@inlined
def _complete_unflagged(  # noqa: PLR0913, PLR0917 - see `score`
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    units: float,
    number: int,
    window: Window,
    block: Block,
    chosen: int,
) -> int:
    """As `complete`; blocks without any chosen document are not unpacked."""
    opened = -1
    at, column, size, here = 0, 0, 0, 0
    for i in range(chosen):
        slot = window.chosen[i]
        ordinal = np.uint32(window.first + slot)
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
            window.sums[slot] += score_posting(formula, units, tf, float(lists.lengths[ordinal]))
    return number


@part
def complete(
    lists: ScoredLists,
    formula: Formula,
    term: Term,
    number: int,
    window: Window,
    block: Block,
    chosen: int,
) -> int:
    """Add a term to the sums of the chosen documents that have it.

    Returns:
        its first block of the next window, or one before.
    """
    units, flags = units_of_weight(formula, term), flags_of_list(lists, term)
    if len(flags) > 0:
        return _complete_flagged(lists, formula, term, units, number, window, flags, chosen)
    return _complete_unflagged(lists, formula, term, units, number, window, block, chosen)


@inlined
def collect(lists: ScoredLists, window: Window, chosen: int, threshold: int, best: Best) -> None:
    """Offer the chosen documents to the best."""
    floor = score_to_reach(best, threshold)
    for i in range(chosen):
        slot = window.chosen[i]
        ordinal = window.first + slot
        if window.sums[slot] >= floor:
            offer(best, window.sums[slot], lists.id_ranks[ordinal], ordinal)
            floor = score_to_reach(best, threshold)
