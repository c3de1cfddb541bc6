"""The kernel that looks the terms of a query up in all segments, as far as their files are checked."""

from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import block_room, term_of
from indexer.bm25.flags import frequency
from indexer.bm25.table import Rows, SegmentRow, lists_of, row_of
from indexer.compiled import (
    inlined,
    int64,
    kernel,
    readable,
    signed,
    uint8_at,
    uint32_at,
    uint64,
    uint64_at,
    writable,
)
from indexer.segment.dictionary import ABSENT
from indexer.segment.pages import flags_at, is_checked

NOTHING: Final = -1
"""In place of what is to be checked."""

_NOT_KNOWN: Final = -2
_KEY_BYTES: Final = 8
_COUNT_BYTES: Final = 4
_REFINEMENTS: Final = 2
_KEYS_THERE_ARE: Final = float(1 << 64)

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


@inlined
def _guess(row: SegmentRow, key: int) -> int:
    """About the place of a key, as far as pages are checked.

    Keys are hashes, so that a key says where about it is, and the key that is there how far it is from there
    (interpolation search: Perl, Itai and Avni, 1978).
    """
    keys, checked = uint64_at(row.keys, row.terms), flags_at(row.checked)
    last = row.terms - 1
    at = min(signed(float(key) / _KEYS_THERE_ARE * row.terms), last)
    for _ in range(_REFINEMENTS):
        if last < 0 or not is_checked(checked, row.keys_at + at * _KEY_BYTES):
            break
        apart = (float(key) - float(keys[at])) / _KEYS_THERE_ARE * row.terms
        at = min(max(at + signed(apart), 0), last)
    return at


@inlined
def _place_of(row: SegmentRow, key: int, at: int, unchecked: Numbers) -> int:
    """The place of a key, `ABSENT`, or `_NOT_KNOWN` before a page is checked.

    It is sought from a guess on, in steps that double, up to halves.
    """
    keys, checked = uint64_at(row.keys, row.terms), flags_at(row.checked)
    low, high, step, known = 0, row.terms, 1, True
    while low < high:
        known = is_checked(checked, row.keys_at + at * _KEY_BYTES)
        if not known:
            unchecked[0] = row.keys_at + at * _KEY_BYTES
            break
        below = keys[at] < key
        if below:
            low = at + 1
        else:
            high = at
        middle = (low + high) // 2
        at = min(at + step, middle) if below else max(at - step, middle)
        step *= 2
    # The search has compared the key at `low`, unless that is the end.
    here = known and low < row.terms and keys[low] == key
    return low if here else (ABSENT if known else _NOT_KNOWN)


@inlined
def _is_touched(row: SegmentRow, place: int, unchecked: Numbers) -> bool:
    """Whether the count and the list of a key are checked."""
    count_at = row.counts_at + place * _COUNT_BYTES
    if not is_checked(flags_at(row.checked), count_at):
        unchecked[0] = count_at
    elif uint8_at(row.touched, row.terms)[place] == 0:
        unchecked[1] = place
    return bool(unchecked[0] == NOTHING and unchecked[1] == NOTHING)


@inlined
def _locate(row: SegmentRow, place: int, located: Numbers) -> None:
    """Fill the row of a term, but for its weight; see `indexer.bm25.blocks.Term`."""
    starts, blocks = uint64_at(row.starts, row.terms + 1), uint64_at(row.block_starts, row.terms + 1)
    located[0], located[1] = signed(starts[place]), signed(starts[place + 1])
    located[2], located[3] = signed(blocks[place]), signed(blocks[place + 1]) - signed(blocks[place])
    located[4] = signed(uint32_at(row.counts, row.terms)[place])
    located[5] = signed(uint8_at(row.list_bounds, row.terms)[place])


@kernel(
    int64,
    readable(int64, dimensions=2),
    readable(int64),
    int64,
    readable(uint64),
    writable(int64, dimensions=3),
    writable(int64),
    writable(int64),
    int64,
)
def look_up(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    rows: Rows,
    live: Numbers,
    first: int,
    keys: Keys,
    located: Numbers,
    frequencies: Numbers,
    unchecked: Numbers,
    space: int,
) -> int:
    """Look terms up, segment by segment, and check on the way what is read of their files.

    First all places are guessed: these reads do not wait for one another, and most of the time is waiting for memory.

    Args:
        rows: of `SegmentTable`.
        live: address of the flags of the documents that are not deleted, or `EVERY`, shape (segments,), int64.
        first: row of the segment to begin with.
        keys: of the terms, shape (terms,), uint64.
        located: takes the terms of each segment, see `indexer.bm25.blocks.Term`, or `ABSENT` in the first column,
            shape (segments, terms, LOCATED), int64.
        frequencies: counts the live documents that have each term, from 0 when `first` is, shape (terms,), int64.
        unchecked: takes what is to be checked, shape (2,): the place in the file of a page, the place of a list;
            `NOTHING` for one of them.
        space: address of room for `indexer.bm25.blocks.block_room`.

    Returns:
        row of the segment in which something must be checked before the next try, and from which to go on; the number
        of segments when all is done.
    """
    unchecked[:], block = NOTHING, block_room(space)
    if first == 0:
        frequencies[:] = 0
    for segment in range(first, len(rows)):
        row = row_of(rows, segment)
        for t in range(len(keys)):
            located[segment, t, 0] = _guess(row, keys[t])
    for segment in range(first, len(rows)):
        row = row_of(rows, segment)
        for t in range(len(keys)):
            place = _place_of(row, keys[t], located[segment, t, 0], unchecked)
            if place == _NOT_KNOWN or (place != ABSENT and not _is_touched(row, place, unchecked)):
                return segment
            located[segment, t, 0] = ABSENT
            if place != ABSENT:
                _locate(row, place, located[segment, t])
        for t in range(len(keys)):
            if located[segment, t, 0] != ABSENT:
                term = term_of(located[segment, t], 0.0)
                frequencies[t] += frequency(lists_of(row), term, live[segment], block)
    return len(rows)
