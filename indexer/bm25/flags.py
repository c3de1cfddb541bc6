"""What there is of each document of a segment: flags, a bit each, which have a term, which are live; and rows."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import Block, ScoredLists, Term, blocks_in, open_block
from indexer.compiled import inlined, part, uint8_at, uint32_at
from indexer.segment.packing import flag_words, is_dense, row_words

EVERY: Final = 0
"""In place of the address of flags: all documents have theirs."""

Flags = npt.NDArray[np.uint32]
Row = npt.NDArray[np.uint8]


def flags_of(documents: npt.NDArray[np.bool_]) -> Flags:
    """Flags in words, of flags by ordinal."""
    packed = np.packbits(documents, bitorder="little")
    return np.pad(packed, (0, -len(packed) % 4)).view(np.uint32)


@inlined
def words_of(address: int, documents: int) -> Flags:
    """The flags at an address."""
    return uint32_at(address, flag_words(documents))


@inlined
def is_set(flags: Flags, ordinal: int) -> bool:
    """Whether a document has its flag."""
    return bool((flags[ordinal >> np.uint32(5)] >> (ordinal & np.uint32(31))) & np.uint32(1))


@inlined
def flags_of_list(lists: ScoredLists, term: Term) -> Flags:
    """The flags behind a list; none when it is not dense."""
    documents = len(lists.lengths) if is_dense(term.postings, len(lists.lengths)) else 0
    end = term.end - 2 * row_words(documents)
    return lists.words[end - flag_words(documents) : end]


@inlined
def steps_of_list(lists: ScoredLists, term: Term) -> Row:
    """The saturation of all documents, in steps, behind a dense list; of shape (documents,)."""
    return _row(lists, term, 2)


@inlined
def counts_of_list(lists: ScoredLists, term: Term) -> Row:
    """Occurrences in all documents, see `MOST_IN_ROW`, behind a dense list; of shape (documents,)."""
    return _row(lists, term, 1)


@inlined
def _row(lists: ScoredLists, term: Term, from_end: int) -> Row:
    documents = len(lists.lengths)
    return uint8_at(lists.words.ctypes.data + (term.end - from_end * row_words(documents)) * 4, documents)


@inlined
def bits_set(word: int) -> Any:  # noqa: ANN401 - a number of numba's
    """How many bits of a word are set; LLVM makes one instruction of it (Warren, Hacker's Delight, 5-1)."""
    bits = np.uint32(word)
    bits -= (bits >> np.uint32(1)) & np.uint32(0x55555555)
    bits = (bits & np.uint32(0x33333333)) + ((bits >> np.uint32(2)) & np.uint32(0x33333333))
    bits = (bits + (bits >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    return np.uint32(np.uint32(bits * np.uint32(0x01010101)) >> np.uint32(24))


@inlined
def lowest_set(word: Any) -> Any:  # noqa: ANN401 - a number of numba's
    """The place of the lowest bit that is set, of a word with one (Warren, Hacker's Delight, 5-4)."""
    return bits_set((word & (~word + np.uint32(1))) - np.uint32(1))


@inlined
def count_set(flags: Flags) -> int:
    """How many flags are set."""
    count = 0
    for word in flags:
        count += bits_set(word)
    return count


@part
def count_flagged(lists: ScoredLists, term: Term, flags: Flags, block: Block) -> int:
    """How many of the documents that have a term have their flag."""
    own, flagged = flags_of_list(lists, term), 0
    for word in range(len(own)):
        flagged += bits_set(own[word] & flags[word])
    if len(own) > 0:
        return flagged
    for number in range(blocks_in(term)):
        _, _, size = open_block(lists, term, number, block)
        for i in range(size):
            flagged += is_set(flags, block.ordinals[i])
    return flagged


@inlined
def frequency(lists: ScoredLists, term: Term, allowed: int, block: Block) -> int:
    """How many documents have a term, of those that are allowed: the address of their flags, or `EVERY`."""
    if allowed == EVERY:
        return term.postings
    return count_flagged(lists, term, words_of(allowed, len(lists.lengths)), block)
