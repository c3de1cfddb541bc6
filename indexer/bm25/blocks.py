"""How a kernel reads a posting list of bm25, block by block: what the most is that a block adds, and what each adds.

Scores are added up as integers, in units of 2**-40. So a sum does not depend on its order, pruned results are those of
exhaustive scoring to the last bit, and equal documents have equal scores, in any segment.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, signed
from indexer.segment.packing import BLOCK, packed_words, unpack_column, unpack_ordinals

SCORE_UNITS: Final = float(1 << 40)
"""Units of a score of 1. The longest query, 2,048 terms of the largest weight, stays below 2**57."""

_ROUNDING: Final = 1.0 + 1e-9
"""Makes a bound larger than what rounding can add to a score."""

Ordinals = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Steps = npt.NDArray[np.uint8]


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
    block_bounds: Steps
    list_bounds: Steps
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


class Block(NamedTuple):
    """Room for a block that is unpacked; all arrays of shape (BLOCK,).

    Attributes:
        ordinals: of its postings, uint32.
        counts: occurrences in each document, uint32.
        lengths: of each document, float64.
        parts: what each adds to its document's score, in units, int64.
    """

    ordinals: Ordinals
    counts: Ordinals
    lengths: npt.NDArray[np.float64]
    parts: Numbers


@inlined
def blocks_of(lists: ScoredLists, place: int) -> Any:  # noqa: ANN401 - integers of numba's
    """The first full block of a list, in the tables of blocks, and how many there are."""
    first = signed(lists.block_starts[place])
    return first, signed(lists.block_starts[place + 1]) - first


@inlined
def first_block(lists: ScoredLists, place: int, block: int, ordinal: int) -> int:
    """The first block, from this one on, that reaches to an ordinal."""
    first, full = blocks_of(lists, place)
    while block < full and lists.block_last[first + block] < ordinal:
        block += 1
    return block


@inlined
def units_of(formula: Formula, weight: float, steps: int) -> int:
    """The most that a term adds to a document whose saturation is so many steps at most; 0 only for no steps."""
    if steps == 0:
        return signed(0)
    saturation = min(steps * formula.bound_step, formula.k1 + 1.0)
    # A negative weight adds most where the term is absent.
    return signed(max(0.0, weight * saturation) * _ROUNDING * SCORE_UNITS) + 1


@inlined
def block_bound(lists: ScoredLists, formula: Formula, place: int, weight: float, block: int) -> int:
    """The most that a block of a list adds to a document."""
    first, full = blocks_of(lists, place)
    steps = lists.block_bounds[first + block] if block < full else lists.list_bounds[place]
    return units_of(formula, weight, signed(steps))


@inlined
def span_bound(lists: ScoredLists, formula: Formula, place: int, weight: float, block: int, end: int) -> int:
    """The most that a list adds to a document before `end`, from a block on; 0 only when no document there has it."""
    first, full = blocks_of(lists, place)
    steps = 0
    while block < full:
        steps = max(steps, signed(lists.block_bounds[first + block]))
        if lists.block_last[first + block] >= end:
            break
        block += 1
    if block == full and signed(lists.counts[place]) > full * BLOCK:
        steps = max(steps, signed(lists.list_bounds[place]))  # what is no full block may reach into the span
    return units_of(formula, weight, steps)


@inlined
def open_block(lists: ScoredLists, place: int, number: int, block: Block) -> Any:  # noqa: ANN401 - integers of numba's
    """Unpack the ordinals of a block. Returns where it begins, where its counts begin, and its postings."""
    first, full = blocks_of(lists, place)
    at = signed(lists.starts[place])
    previous = signed(-1)
    if number > 0:
        at += signed(lists.block_words[first + min(number, full - 1)])
        previous = signed(lists.block_last[first + number - 1])
    if 0 < number == full:  # the rest of the list lies behind its last full block
        header = lists.words[at]
        at += 1 + packed_words(BLOCK, signed(header & 0xFF)) + packed_words(BLOCK, signed((header >> 8) & 0xFF))
    size = min(BLOCK, signed(lists.counts[place]) - number * BLOCK)
    return at, unpack_ordinals(lists.words, at, size, previous, block.ordinals), size


@inlined
def score_posting(formula: Formula, weight: float, tf: float, length: float) -> int:
    """A term's part of a document's score, cut off below a unit; see `indexer.bm25.scoring`.

    `weight` is the term's times k1 + 1 and in units.
    """
    return signed(weight * tf / (tf + (formula.norm_fixed + formula.norm_length * length)))


@inlined
def score_block(
    lists: ScoredLists, formula: Formula, weight: float, at: int, column: int, size: int, block: Block
) -> None:
    """Compute what each posting of an opened block adds to its document; see `score_posting`."""
    unpack_column(lists.words, at, column, size, block.counts)
    # Apart, since lookups do not become vector instructions, and divisions do.
    for i in range(size):
        block.lengths[i] = float(lists.lengths[block.ordinals[i]])
    for i in range(size):
        block.parts[i] = score_posting(formula, weight, float(block.counts[i]), block.lengths[i])
