"""The table of the distinct runs of one segment build: what makes tokenising as fast as reading.

A run of bytes is the longest stretch of ASCII letters, digits and underscores, and of bytes beyond ASCII. A run of
characters (see `indexer.analysis.runs`) never crosses its border, since every other ASCII character ends both; so the
terms of a text are those of its byte runs, one after another, and each distinct one needs to be analysed only once.

Open addressing with linear probing; a hash finds a run and its bytes decide, so that numbers are exact.
"""

import secrets
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, int64, kernel, readable, record, uint8, uint32, uint64, void, writable

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_FIRST_CAPACITY: Final = 1 << 12
_FIRST_BYTES: Final = 1 << 16
_SLOTS_PER_RUN: Final = 2
_EMPTY: Final = 0xFFFF_FFFF

_MULTIPLIER: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)."""

_HIGH_HALF: Final = np.uint64(32)

_IN_RUN: Final = np.array([byte >= 0x80 or chr(byte).isalnum() or chr(byte) == "_" for byte in range(256)])  # noqa: PLR2004 - ASCII


class RunColumns(NamedTuple):
    """The table as the kernels take it.

    Attributes:
        slots: number of the run that each slot holds, or `_EMPTY`; shape (a power of two,), uint32.
        hashes: of each run, shape (capacity,), uint64.
        starts: where each run begins in `data`, and where the next will, shape (capacity + 1,), int64.
        data: the bytes of the runs, one after another, uint8.
    """

    slots: Numbers
    hashes: Hashes
    starts: Places
    data: Bytes


class RunTable:
    """Gives each distinct run of bytes a number, in the order of their first sight."""

    def __init__(self) -> None:
        self.count = 0
        self._seed = secrets.randbits(63)  # so that nobody can write documents whose runs all collide
        self._columns = RunColumns(
            _empty_slots(_FIRST_CAPACITY),
            np.empty(_FIRST_CAPACITY, np.uint64),
            np.zeros(_FIRST_CAPACITY + 1, np.int64),
            np.empty(_FIRST_BYTES, np.uint8),
        )

    def numbers(self, text: bytes | Bytes) -> Numbers:
        """The numbers of the runs of a UTF-8 text, in order, shape (runs,), uint32."""
        source = np.frombuffer(text, np.uint8)
        numbers = np.empty(len(source) // 2 + 1, np.uint32)
        self._make_room_for_bytes(len(source))
        progress = np.array([0, 0, self.count], np.int64)
        while progress[0] < len(source):
            _number_runs(source, self._seed, self._columns, progress, numbers)
            self.count = int(progress[2])
            if progress[0] < len(source):
                self._double()
        return numbers[: progress[1]]

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
        if used + wanted > len(self._columns.data):
            data = np.empty(max(used + wanted, 2 * len(self._columns.data)), np.uint8)
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


def _empty_slots(capacity: int) -> Numbers:
    return np.full(_SLOTS_PER_RUN * capacity, _EMPTY, np.uint32)


@inlined
def _same(text: Bytes, begin: int, end: int, data: Bytes, at: int) -> bool:
    for offset in range(end - begin):  # noqa: SIM110 - kernels have no generators
        if text[begin + offset] != data[at + offset]:
            return False
    return True


@inlined
def _slot_of(text: Bytes, begin: int, end: int, hashed: np.uint64, columns: RunColumns) -> np.int64:
    """The slot that holds the run, or the empty one where it belongs."""
    mask = len(columns.slots) - 1
    slot = np.int64(hashed >> _HIGH_HALF) & mask
    while True:
        number = columns.slots[slot]
        if number == _EMPTY:
            return slot
        at = columns.starts[number]
        same_length = columns.starts[number + 1] - at == end - begin
        if columns.hashes[number] == hashed and same_length and _same(text, begin, end, columns.data, at):
            return slot
        slot = (slot + 1) & mask


_COLUMNS: Final = record(RunColumns, writable(uint32), writable(uint64), writable(int64), writable(uint8))


@kernel(void, readable(uint8), int64, _COLUMNS, writable(int64), writable(uint32))
def _number_runs(text: Bytes, seed: int, columns: RunColumns, progress: Places, numbers: Numbers) -> None:
    """Number the runs of a text until it ends or the table is full.

    Args:
        text: in UTF-8, uint8.
        seed: of the hashes.
        columns: of the table; takes the runs that it does not hold, whose bytes have room in it.
        progress: bytes of the text that are done, runs of it that are numbered, and runs in the table; is brought up
            to date.
        numbers: takes the numbers of the runs, uint32.
    """
    at, done, count = progress
    while at < len(text):
        if not _IN_RUN[text[at]]:
            at += 1
            continue
        begin, hashed = at, np.uint64(seed)
        while at < len(text) and _IN_RUN[text[at]]:
            hashed = (hashed ^ np.uint64(text[at])) * _MULTIPLIER
            at += 1
        slot = _slot_of(text, begin, at, hashed, columns)
        if columns.slots[slot] == _EMPTY:
            if count == len(columns.hashes):
                at = begin
                break
            start = columns.starts[count]
            columns.data[start : start + at - begin] = text[begin:at]
            columns.slots[slot], columns.hashes[count], columns.starts[count + 1] = count, hashed, start + at - begin
            count += 1
        numbers[done] = columns.slots[slot]
        done += 1
    progress[0], progress[1], progress[2] = at, done, count


@kernel(void, readable(uint64), writable(uint32))
def _fill_slots(hashes: Hashes, slots: Numbers) -> None:
    """Put runs into an empty table.

    Args:
        hashes: of the runs, uint64.
        slots: all empty, more of them than runs, uint32.
    """
    mask = len(slots) - 1
    for number in range(len(hashes)):
        slot = np.int64(hashes[number] >> _HIGH_HALF) & mask
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = number
