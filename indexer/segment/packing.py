"""Kernels that pack ascending ordinals, and a number beside each, into bits, block by block.

A block of `BLOCK` postings is one header word and then two runs of packed values: the gaps between ordinals, less one,
and where there is a second column its values, less one. The header has the bits of a gap in its lowest byte and those
of a value in the next. A full block packs in four lanes, as SIMD-BP128 does (Lemire and Boytsov, Decoding billions of
integers per second through vectorization, 2015), so that one instruction unpacks four values; the rest of a list, less
than a block, packs one value after another.

Behind the blocks of a dense list stand three more things: flags, a bit for each document of the segment, and two rows,
a byte for each, which are 0 for documents that are not in the list. A row is of steps, whatever they mean, the other is
of the second column, as far as it fits a byte.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, int64, kernel, readable, signed, uint8, uint32, uint64, void, writable

BLOCK: Final = 128
"""Postings of a full block."""

WORD_BITS: Final = 32

DENSE_SHARE: Final = 32
"""A list is dense when one of so many documents is in it: then flags take as much as a word for each posting."""

LEAST_DENSE: Final = BLOCK
"""Postings of the shortest dense list; those of a shorter one are unpacked at once."""

MOST_IN_ROW: Final = 255
"""Stands in a row of the second column for all that is not less."""

_LANES: Final = 4
_ROWS: Final = BLOCK // _LANES
_BYTES: Final = 4

Words = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]


@inlined
def bits_needed(values: Words, count: int) -> int:
    """Bits that hold the largest of the first values."""
    joined = np.uint32(0)
    for i in range(count):
        joined |= values[i]
    bits = 0
    while joined != 0:
        joined >>= np.uint32(1)
        bits += 1
    return bits


@inlined
def packed_words(count: int, bits: int) -> int:
    """Words that so many values take, in a full block as in a rest."""
    return (count * bits + WORD_BITS - 1) // WORD_BITS


@inlined
def flag_words(documents: int) -> int:
    """Words that the flags of so many documents take."""
    return (documents + WORD_BITS - 1) // WORD_BITS


@inlined
def row_words(documents: int) -> int:
    """Words that a row of so many documents takes."""
    return (documents + _BYTES - 1) // _BYTES


@inlined
def is_dense(count: int, documents: int) -> bool:
    """Whether a list of so many postings is followed by flags and rows; `documents` is 0 where no list is."""
    return documents > 0 and count >= LEAST_DENSE and count * DENSE_SHARE >= documents


@inlined
def pack(values: Words, count: int, bits: int, words: Words, at: int) -> None:
    """Pack the first values into words from `at` on, which must be zero."""
    for i in range(count):
        lane, row = (i % _LANES, i // _LANES) if count == BLOCK else (0, i)
        step = _LANES if count == BLOCK else 1
        place = row * bits
        word, shift = at + place // WORD_BITS * step + lane, place % WORD_BITS
        words[word] |= np.uint32(values[i] << np.uint32(shift))
        if shift + bits > WORD_BITS:
            words[word + step] |= np.uint32(values[i] >> np.uint32(WORD_BITS - shift))


@inlined
def unpack(words: Words, at: int, count: int, bits: int, values: Words) -> None:
    """Unpack so many values from words beginning at `at`."""
    if bits == 0:
        for i in range(count):
            values[i] = np.uint32(0)
    elif count == BLOCK:
        _unpack_block(words, at, bits, values)
    else:
        mask = np.uint64((1 << bits) - 1)
        for i in range(count):
            place = i * bits
            word, shift = at + (place >> 5), np.uint64(place & 31)
            pair = np.uint64(words[word])
            if (place & 31) + bits > WORD_BITS:
                pair |= np.uint64(words[word + 1]) << np.uint64(WORD_BITS)
            values[i] = np.uint32((pair >> shift) & mask)


@inlined
def _unpack_block(words: Words, at: int, bits: int, values: Words) -> None:
    mask = np.uint32((1 << bits) - 1)
    for row in range(_ROWS):
        place = row * bits
        word, shift = at + (place >> 5) * _LANES, np.uint32(place & 31)
        if (place & 31) + bits > WORD_BITS:
            rest = np.uint32(WORD_BITS) - shift
            for lane in range(_LANES):
                both = (words[word + lane] >> shift) | (words[word + _LANES + lane] << rest)
                values[row * _LANES + lane] = both & mask
        else:
            for lane in range(_LANES):
                values[row * _LANES + lane] = (words[word + lane] >> shift) & mask


@inlined
def unpack_ordinals(words: Words, at: int, count: int, previous: int, values: Words) -> Any:  # noqa: ANN401 - numba's
    """Unpack the ordinals of the block at `at`; `previous` is the last ordinal before it, -1 for none.

    Returns:
        where its second column begins.
    """
    bits = signed(words[at] & np.uint32(0xFF))
    unpack(words, at + 1, count, bits, values)
    last = np.uint32(previous)  # of -1, all ones: the sum below wraps around to the first ordinal
    for i in range(count):
        last += values[i] + np.uint32(1)
        values[i] = last
    return at + 1 + packed_words(count, bits)


@inlined
def unpack_column(words: Words, header: int, at: int, count: int, values: Words) -> None:
    """Unpack the second column, which begins at `at`, of the block whose header is at `header`."""
    bits = signed((words[header] >> np.uint32(8)) & np.uint32(0xFF))
    unpack(words, at, count, bits, values)
    for i in range(count):
        values[i] += np.uint32(1)


@inlined
def number_in_column(words: Words, header: int, at: int, count: int, place: int) -> Any:  # noqa: ANN401 - numba's
    """One number of the second column, without unpacking the others; as `unpack_column`."""
    bits = signed((words[header] >> np.uint32(8)) & np.uint32(0xFF))
    lane, row, step = (place % _LANES, place // _LANES, _LANES) if count == BLOCK else (0, place, 1)
    word, shift = at + (row * bits >> 5) * step + lane, row * bits & 31
    value = np.uint64(0)
    if bits > 0:
        value = np.uint64(words[word]) >> np.uint64(shift)
    if shift + bits > WORD_BITS:
        value |= np.uint64(words[word + step]) << np.uint64(WORD_BITS - shift)
    return signed(value & np.uint64((1 << bits) - 1)) + 1


@inlined
def _set_byte(words: Words, at: int, place: Any, value: Any) -> None:  # noqa: ANN401 - numbers of numba's
    """Set a byte of a row, which is 0."""
    shift = np.uint32(8) * (place & np.uint32(_BYTES - 1))
    words[at + signed(place // np.uint32(_BYTES))] |= np.uint32(value) << shift


_TABLE = readable(uint32)
_STARTS = readable(int64)


@kernel(
    int64,
    _TABLE,
    _TABLE,
    readable(uint8),
    _STARTS,
    int64,
    writable(uint32),
    writable(int64),
    writable(uint32),
    writable(uint32),
)
def pack_lists(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    ordinals: Words,
    column: Words,
    steps: Bytes,
    starts: npt.NDArray[np.int64],
    documents: int,
    words: Words,
    places: npt.NDArray[np.int64],
    block_last: Words,
    block_words: Words,
) -> int:
    """Pack lists of postings, one after another.

    Args:
        ordinals: of all lists, shape (n,), uint32; ascending within a list.
        column: the number beside each, at least 1, shape (n,), uint32; empty when there is none.
        steps: what stands for each in a row, at least 1, shape (n,), uint8; empty where no list is dense.
        starts: where each list begins in them, and the end of the last, shape (lists + 1,), int64.
        documents: of the segment, if it has dense lists; 0 otherwise.
        words: takes the packed words, zero before, long enough, uint32.
        places: takes the word where each list begins, and the end of the last, shape (lists + 1,), int64.
        block_last: takes the last ordinal of each full block, uint32.
        block_words: takes where each full block begins, in words from the beginning of its list, uint32.

    Returns:
        how many full blocks there are.
    """
    gaps, values = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    at, blocks = 0, 0
    for each in range(len(starts) - 1):
        places[each] = at
        previous = np.uint32(0) - np.uint32(1)
        for first in range(starts[each], starts[each + 1], BLOCK):
            count = min(BLOCK, starts[each + 1] - first)
            for i in range(count):
                gaps[i] = ordinals[first + i] - previous - np.uint32(1)
                previous = ordinals[first + i]
                values[i] = column[first + i] - np.uint32(1) if len(column) else np.uint32(0)
            if count == BLOCK:
                block_last[blocks] = previous
                block_words[blocks] = np.uint32(at - places[each])
                blocks += 1
            gap_bits, value_bits = bits_needed(gaps, count), bits_needed(values, count)
            words[at] = np.uint32(gap_bits | value_bits << 8)
            pack(gaps, count, gap_bits, words, at + 1)
            at += 1 + packed_words(count, gap_bits)
            pack(values, count, value_bits, words, at)
            at += packed_words(count, value_bits)
        if is_dense(starts[each + 1] - starts[each], documents):
            for i in range(starts[each], starts[each + 1]):
                words[at + signed(ordinals[i] >> np.uint32(5))] |= np.uint32(1) << (ordinals[i] & np.uint32(31))
            at += flag_words(documents)
            for i in range(starts[each], starts[each + 1]):
                _set_byte(words, at, ordinals[i], np.uint32(steps[i]))
            at += row_words(documents)
            for i in range(starts[each], starts[each + 1] if len(column) else 0):
                _set_byte(words, at, ordinals[i], min(column[i], np.uint32(MOST_IN_ROW)))
            at += row_words(documents)
    places[len(starts) - 1] = at
    return blocks


@inlined
def _unpack_list(words: Words, place: int, count: int, ordinals: Words, column: Words, at: int) -> None:
    values = np.empty(BLOCK, np.uint32)
    previous = -1
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        behind = unpack_ordinals(words, place, size, previous, values)
        for i in range(size):
            ordinals[at + first + i] = values[i]
        previous = signed(values[size - 1])
        value_bits = signed((words[place] >> np.uint32(8)) & np.uint32(0xFF))
        if len(column):
            unpack_column(words, place, behind, size, values)
            for i in range(size):
                column[at + first + i] = values[i]
        place = behind + packed_words(size, value_bits)


@kernel(void, _TABLE, readable(uint64), _TABLE, writable(uint32), writable(uint32))
def unpack_lists(words: Words, starts: npt.NDArray[np.uint64], counts: Words, ordinals: Words, column: Words) -> None:
    """Unpack whole lists, one after another.

    Args:
        words: packed words, uint32.
        starts: the word where each list begins, shape (lists,), uint64.
        counts: postings of each, shape (lists,), uint32.
        ordinals: takes the ordinals of all, uint32.
        column: takes the second column likewise, uint32; empty when it is not wanted.
    """
    at = 0
    for each in range(len(counts)):
        _unpack_list(words, signed(starts[each]), signed(counts[each]), ordinals, column, at)
        at += signed(counts[each])
