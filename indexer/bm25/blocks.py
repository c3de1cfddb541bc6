"""How a kernel reads a posting list of bm25, block by block: what the most is that a block adds, and what each adds.

Scores are added up as integers, in units of 2**-40. So a sum does not depend on its order, pruned results are those of
exhaustive scoring to the last bit, and equal documents have equal scores, in any segment.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import float64_at, inlined, int64_at, signed, uint32_at
from indexer.segment.packing import BLOCK, packed_words, unpack_column, unpack_ordinals

SCORE_UNITS: Final = float(1 << 40)
"""Units of a score of 1. The longest query, 2,048 terms of the largest weight, stays below 2**57."""

ROUNDING: Final = 1.0 + 1e-9
"""Makes a bound larger than what rounding can add to a score."""

Ordinals = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Steps = npt.NDArray[np.uint8]


class ScoredLists(NamedTuple):
    """The posting lists of a segment and what bounds them.

    See `indexer.segment.postings` and `indexer.bm25.postings`.
    """

    words: Ordinals
    block_last: Ordinals
    block_words: Ordinals
    block_bounds: Steps
    lengths: Ordinals
    id_ranks: Ordinals


class Term(NamedTuple):
    """A term of a query in a segment that has it.

    Attributes:
        start: where its list begins, in words.
        end: where its list ends.
        first: its first full block, in the tables of blocks.
        full: how many full blocks it has.
        postings: how many it has.
        steps: the bound of its list.
        weight: repetitions times idf.
    """

    start: int
    end: int
    first: int
    full: int
    postings: int
    steps: int
    weight: float


LOCATED: Final = len(Term._fields) - 1
"""Columns of a table of located terms: all but the weight."""


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
def block_room(space: int) -> Block:
    """Room for a block at an address, which takes 3 * BLOCK numbers of int64."""
    ordinals, counts = uint32_at(space, BLOCK), uint32_at(space + 4 * BLOCK, BLOCK)
    return Block(ordinals, counts, float64_at(space + 8 * BLOCK, BLOCK), int64_at(space + 16 * BLOCK, BLOCK))


@inlined
def term_of(located: Numbers, weight: float) -> Term:
    """A term, of its row in a table of located ones."""
    return Term(located[0], located[1], located[2], located[3], located[4], located[5], weight)


@inlined
def blocks_in(term: Term) -> int:
    """How many blocks a list has, the rest included."""
    return (term.postings + BLOCK - 1) // BLOCK


@inlined
def first_block(lists: ScoredLists, term: Term, block: int, ordinal: int) -> int:
    """The first block, from this one on, that reaches to an ordinal."""
    while block < term.full and lists.block_last[term.first + block] < ordinal:
        block += 1
    return block


@inlined
def units_of(formula: Formula, weight: float, steps: int) -> int:
    """The most that a term adds to a document whose saturation is so many steps at most; 0 only for no steps."""
    if steps == 0:
        return signed(0)
    saturation = min(steps * formula.bound_step, formula.k1 + 1.0)
    # A negative weight adds most where the term is absent.
    return signed(max(0.0, weight * saturation) * ROUNDING * SCORE_UNITS) + 1


@inlined
def reaches(lists: ScoredLists, term: Term, block: int, end: int) -> bool:
    """Whether there is such a block, and it may begin before an ordinal."""
    begins_before = block == 0 or lists.block_last[term.first + block - 1] < end - 1
    return bool(block * BLOCK < term.postings and begins_before)


@inlined
def block_bound(lists: ScoredLists, formula: Formula, term: Term, block: int) -> int:
    """The most that a block of a list adds to a document."""
    steps = signed(lists.block_bounds[term.first + block]) if block < term.full else term.steps
    return units_of(formula, term.weight, steps)


@inlined
def span_bound(lists: ScoredLists, formula: Formula, term: Term, block: int, end: int) -> int:
    """The most that a list adds to a document before `end`, from a block on; 0 only when no document there has it."""
    steps = 0
    while block < term.full:
        steps = max(steps, signed(lists.block_bounds[term.first + block]))
        if lists.block_last[term.first + block] >= end:
            break
        block += 1
    if block == term.full and term.postings > term.full * BLOCK:
        steps = max(steps, term.steps)  # what is no full block may reach into the span
    return units_of(formula, term.weight, steps)


@inlined
def block_at(lists: ScoredLists, term: Term, number: int) -> Any:  # noqa: ANN401 - integers of numba's
    """Where a block of a list begins, where its counts begin, the last ordinal before it, and its postings."""
    at, previous = term.start, signed(-1)
    if number > 0:
        at += signed(lists.block_words[term.first + min(number, term.full - 1)])
        previous = signed(lists.block_last[term.first + number - 1])
    if 0 < number == term.full:  # the rest of the list lies behind its last full block
        header = lists.words[at]
        at += 1 + packed_words(BLOCK, signed(header & 0xFF)) + packed_words(BLOCK, signed((header >> 8) & 0xFF))
    size = min(BLOCK, term.postings - number * BLOCK)
    return at, at + 1 + packed_words(size, signed(lists.words[at] & 0xFF)), previous, size


@inlined
def open_block(lists: ScoredLists, term: Term, number: int, block: Block) -> Any:  # noqa: ANN401 - integers of numba's
    """Unpack the ordinals of a block. Returns where it begins, where its counts begin, and its postings."""
    at, column, previous, size = block_at(lists, term, number)
    unpack_ordinals(lists.words, at, size, previous, block.ordinals)
    return at, column, size


@inlined
def units_of_weight(formula: Formula, term: Term) -> float:
    """What `score_posting` takes for a term's weight."""
    return term.weight * (formula.k1 + 1.0) * SCORE_UNITS


@inlined
def score_posting(formula: Formula, weight: float, tf: float, length: float) -> int:
    """A term's part of a document's score, cut off below a unit; see `indexer.bm25.scoring`.

    `weight` is what `units_of_weight` gives.
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
