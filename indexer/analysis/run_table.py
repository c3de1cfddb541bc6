"""The table of the distinct runs of one segment build: what makes tokenising as fast as reading.

A run of bytes is the longest stretch of ASCII letters, digits and underscores, and of bytes beyond ASCII. A run of
characters (see `indexer.analysis.runs`) never crosses its border, since every other ASCII character ends both; so the
terms of a text are those of its byte runs, one after another, and each distinct one needs to be analysed only once.

Open addressing with linear probing; a hash finds a run and its bytes decide, so that numbers are exact. Nobody can
guess how long the next run is, a processor neither. So places of runs are found without a branch, and bytes are hashed
and compared eight at a time, which is a whole run mostly.
"""

import secrets
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import (
    WORD,
    inlined,
    int64,
    kernel,
    readable,
    record,
    signed,
    uint8,
    uint32,
    uint64,
    void,
    word_at,
    writable,
)

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_FIRST_CAPACITY: Final = 1 << 12
_FIRST_BYTES: Final = 1 << 16
_SLOTS_PER_RUN: Final = 2
_EMPTY: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NUMBER: Final = np.uint64(0xFFFF_FFFF)
_TAG: Final = np.uint64(0xFFFF_FFFF_0000_0000)

_MULTIPLIER: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)."""

_HIGH_HALF: Final = np.uint64(32)

_IN_RUN: Final = np.array(
    [byte >= 0x80 or chr(byte).isalnum() or chr(byte) == "_" for byte in range(256)],  # noqa: PLR2004 - ASCII
    np.uint8,
)
_FIRST_BYTES_OF_WORD: Final = np.array([(1 << (8 * count)) - 1 for count in range(WORD + 1)], np.uint64)
"""What keeps so many bytes of a word."""

_PADDING: Final = bytes(WORD)
"""Behind a text, so that its last bytes can be read as a word."""


class RunColumns(NamedTuple):
    """The table as the kernels take it.

    Attributes:
        slots: the run that each slot holds, its number below half of its hash, or `_EMPTY`; shape (a power of two,),
            uint64. So most other runs in a slot are told apart without a look at them.
        hashes: of each run, shape (capacity,), uint64.
        starts: where each run begins in `data`, and where the next will, shape (capacity + 1,), int64.
        data: the bytes of the runs, one after another, and a word more, uint8.
    """

    slots: Hashes
    hashes: Hashes
    starts: Places
    data: Bytes


class RunTable:
    """Gives each distinct run of bytes a number, in the order of their first sight.

    Args:
        seed: of the hashes; a secret one by default, so that nobody can write documents whose runs all collide.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.count = 0
        self._seed = secrets.randbits(63) if seed is None else seed
        self._columns = RunColumns(
            _empty_slots(_FIRST_CAPACITY),
            np.empty(_FIRST_CAPACITY, np.uint64),
            np.zeros(_FIRST_CAPACITY + 1, np.int64),
            np.empty(_FIRST_BYTES, np.uint8),
        )
        self._borders = np.empty(0, np.uint32)

    def numbers(self, text: bytes) -> Numbers:
        """The numbers of the runs of a UTF-8 text, in order, shape (runs,), uint32.

        Args:
            text: of less than 2^32 bytes.
        """
        source = np.frombuffer(text + _PADDING, np.uint8)
        if len(self._borders) < len(source):
            self._borders = np.empty(2 * len(source), np.uint32)
        numbers = np.empty(_find_runs(source[: len(text)], self._borders), np.uint32)
        self._make_room_for_bytes(len(text))
        progress = np.array([0, self.count], np.int64)
        while progress[0] < len(numbers):
            _number_runs(source, self._borders, self._seed, self._columns, progress, numbers)
            self.count = int(progress[1])
            if progress[0] < len(numbers):
                self._double()
        return numbers

    @property
    def starts(self) -> Places:
        """Where the runs begin in `data`, by number, and the end of the last, shape (runs + 1,), int64."""
        return self._columns.starts[: self.count + 1]

    @property
    def data(self) -> Bytes:
        """The bytes of the runs, one after another, uint8."""
        return self._columns.data

    def _make_room_for_bytes(self, wanted: int) -> None:
        """As many more bytes as a text has, whose runs may all be new."""
        used = int(self._columns.starts[self.count])
        if used + wanted + WORD > len(self._columns.data):
            data = np.empty(max(used + wanted + WORD, 2 * len(self._columns.data)), np.uint8)
            data[:used] = self._columns.data[:used]
            self._columns = self._columns._replace(data=data)

    def _double(self) -> None:
        capacity = 2 * len(self._columns.hashes)
        hashes, starts = np.empty(capacity, np.uint64), np.zeros(capacity + 1, np.int64)
        hashes[: self.count] = self._columns.hashes[: self.count]
        starts[: self.count + 1] = self._columns.starts[: self.count + 1]
        slots = _empty_slots(capacity)
        _fill_slots(hashes[: self.count], slots)
        self._columns = RunColumns(slots, hashes, starts, self._columns.data)


def _empty_slots(capacity: int) -> Hashes:
    return np.full(_SLOTS_PER_RUN * capacity, _EMPTY, np.uint64)


@inlined
def _mixed(hashed: np.uint64, word: np.uint64) -> np.uint64:
    """A hash of one word more; each half of it depends on every byte."""
    product = (hashed ^ word) * _MULTIPLIER
    return (product ^ (product >> _HIGH_HALF)) * _MULTIPLIER


@inlined
def _hash(at: int, length: int, seed: int) -> np.uint64:
    """The hash of the run at an address."""
    hashed = np.uint64(seed)
    while length > WORD:
        hashed = _mixed(hashed, word_at(at))
        at, length = at + WORD, length - WORD
    return _mixed(hashed, word_at(at) & _FIRST_BYTES_OF_WORD[length])


@inlined
def _same(one: int, other: int, length: int) -> Any:  # noqa: ANN401 - of numba's
    """Whether so many bytes at two addresses are alike."""
    while length > WORD:
        if word_at(one) != word_at(other):
            return False
        one, other, length = one + WORD, other + WORD, length - WORD
    return ((word_at(one) ^ word_at(other)) & _FIRST_BYTES_OF_WORD[length]) == 0


@inlined
def _slot_of(at: int, length: int, hashed: np.uint64, columns: RunColumns) -> np.int64:
    """The slot that holds the run at an address, or the empty one where it belongs."""
    mask, tag = len(columns.slots) - 1, hashed & _TAG
    slot = np.int64(hashed & _NUMBER) & mask
    while True:
        held = columns.slots[slot]
        if held == _EMPTY:
            return slot
        if held & _TAG == tag:
            number = np.int64(held & _NUMBER)
            start = columns.starts[number]
            if columns.starts[number + 1] - start == length and _same(at, columns.data.ctypes.data + start, length):
                return slot
        slot = (slot + 1) & mask


@kernel(int64, readable(uint8), writable(uint32))
def _find_runs(text: Bytes, borders: Numbers) -> int:
    """Find where the runs of a text begin and end.

    Args:
        text: in UTF-8, uint8.
        borders: takes both of each run, one run after another; has a place more than the text has bytes, uint32.

    Returns:
        how many runs there are.
    """
    count, inside = 0, np.uint8(0)
    for at in range(len(text)):
        borders[count] = at
        now = _IN_RUN[text[at]]
        count += now ^ inside
        inside = now
    borders[count] = len(text)
    return signed((count + inside) // 2)


_COLUMNS: Final = record(RunColumns, writable(uint64), writable(uint64), writable(int64), writable(uint8))


@kernel(void, readable(uint8), readable(uint32), int64, _COLUMNS, writable(int64), writable(uint32))
def _number_runs(
    text: Bytes, borders: Numbers, seed: int, columns: RunColumns, progress: Places, numbers: Numbers
) -> None:
    """Number the runs of a text until it ends or the table is full.

    Args:
        text: in UTF-8, with a word behind it, uint8.
        borders: what `_find_runs` wrote, uint32.
        seed: of the hashes.
        columns: of the table; takes the runs that it does not hold, whose bytes have room in it.
        progress: runs of the text that are numbered, and runs in the table; is brought up to date.
        numbers: takes the numbers of the runs, uint32.
    """
    done, count = progress
    address = text.ctypes.data
    while done < len(numbers):
        begin, end = signed(borders[2 * done]), signed(borders[2 * done + 1])
        hashed = _hash(address + begin, end - begin, seed)
        slot = _slot_of(address + begin, end - begin, hashed, columns)
        if columns.slots[slot] == _EMPTY:
            if count == len(columns.hashes):
                break
            start = columns.starts[count]
            columns.data[start : start + end - begin] = text[begin:end]
            columns.slots[slot] = (hashed & _TAG) | np.uint64(count)
            columns.hashes[count], columns.starts[count + 1] = hashed, start + end - begin
            count += 1
        numbers[done] = columns.slots[slot] & _NUMBER
        done += 1
    progress[0], progress[1] = done, count


@kernel(void, readable(uint64), writable(uint64))
def _fill_slots(hashes: Hashes, slots: Hashes) -> None:
    """Put runs into an empty table.

    Args:
        hashes: of the runs, uint64.
        slots: all empty, more of them than runs, uint64.
    """
    mask = len(slots) - 1
    for number in range(len(hashes)):
        slot = np.int64(hashes[number] & _NUMBER) & mask
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = (hashes[number] & _TAG) | np.uint64(number)
