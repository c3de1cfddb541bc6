"""Checksums of a file by page: a reader checks what it is about to read, the first time, and nothing else.

A page is `PAGE_BYTES` of the file. Which pages are checked is a byte each, which kernels look at, too: what they would
read behind an unchecked page, they ask for instead. Threads may check a page twice, which harms nobody.

A page is read with `pread` to be checked, so that a file that has become shorter, or that the disk cannot read, is an
error here and not a signal where the mapped file is read.
"""

import os
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined, int64, kernel, readable, signed, uint8, uint8_at, uint32, uint64
from indexer.errors import GenerationUnusable

PAGE_BITS: Final = 16
PAGE_BYTES: Final = 1 << PAGE_BITS

_SUM: Final = np.dtype("<u4")
_PAGES_AT_MOST: Final = 1 << 46


class SegmentDamaged(GenerationUnusable):
    """A segment does not match its checksums, or cannot be read.

    Attributes:
        name: of its file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.name = path.name


class PageSums:
    """Sums up a file page by page while it is written."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._sum = 0
        self._filled = 0

    def add(self, data: bytes) -> None:
        """Take in what comes next in the file."""
        view = memoryview(data)
        while view:
            part = view[: PAGE_BYTES - self._filled]
            self._sum = zlib.crc32(part, self._sum)
            self._filled += len(part)
            if self._filled == PAGE_BYTES:
                self._close_page()
            view = view[len(part) :]

    def finish(self) -> bytes:
        """CRC-32 of each page, the last of which may be shorter, as uint32."""
        if self._filled:
            self._close_page()
        return np.array(self._sums, _SUM).tobytes()

    def _close_page(self) -> None:
        self._sums.append(self._sum)
        self._sum, self._filled = 0, 0


class OpenFile:
    """A file that is read where it is asked for; closed with the last reference.

    Args:
        path: of the file.

    Attributes:
        descriptor: of the operating system.
        size: in bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.size = os.fstat(self.descriptor).st_size

    def read(self, start: int, end: int) -> bytes:
        """The bytes from one place to another.

        Raises:
            SegmentDamaged: they cannot be read.
        """
        try:
            data = os.pread(self.descriptor, end - start, start)
        except OSError as exc:
            raise SegmentDamaged(self.path, f"bytes {start} to {end} cannot be read: {exc}") from exc
        if len(data) != end - start:
            raise SegmentDamaged(self.path, f"ends at byte {start + len(data)}, before {end}")
        return data


class Pages:
    """The pages of a file, and which of them were checked.

    Args:
        file: to read.
        sums: what `PageSums` gave.
        end: of the last page.
        contents: says what lies between two places of the file, for messages.

    Attributes:
        checked: by page, not 0 for those that were found to be sound, shape (pages,), uint8.
    """

    def __init__(self, file: OpenFile, sums: bytes, end: int, contents: Callable[[int, int], str]) -> None:
        count = -(-end // PAGE_BYTES)
        if len(sums) != count * _SUM.itemsize:
            raise SegmentDamaged(file.path, "has not as many checksums as pages")
        self._file = file
        self._sums = np.frombuffer(sums, _SUM).tolist()
        self._end = end
        self._contents = contents
        self.flags = bytearray(count)
        self.checked = np.frombuffer(self.flags, np.uint8)

    def __len__(self) -> int:
        return len(self.flags)

    def touch(self, start: int, end: int) -> None:
        """Check the pages between two places of the file that were not checked yet.

        Raises:
            SegmentDamaged: naming what changed.
        """
        behind = (end + PAGE_BYTES - 1) >> PAGE_BITS
        page = self.flags.find(0, start >> PAGE_BITS, behind)
        while page >= 0:
            self.check(page)
            page = self.flags.find(0, page + 1, behind)

    def check(self, page: int) -> None:
        """Read a page and hold it against its checksum, whether or not that was done before.

        Raises:
            SegmentDamaged: naming what changed.
        """
        start = page << PAGE_BITS
        end = min(start + PAGE_BYTES, self._end)
        if zlib.crc32(self._file.read(start, end)) != self._sums[page]:
            self.flags[page] = 0
            contents = self._contents(start, end)
            raise SegmentDamaged(self._file.path, f"page {page} of {contents} does not match its checksum")
        self.flags[page] = 1


@inlined
def is_checked(checked: npt.NDArray[np.uint8], at: int) -> bool:
    """For kernels: whether the page of a place in the file was checked."""
    return bool(checked[at >> PAGE_BITS] != 0)


@inlined
def flags_at(address: int) -> npt.NDArray[np.uint8]:
    """For kernels: `Pages.checked` at its address, of a file of any size."""
    return uint8_at(address, _PAGES_AT_MOST)


@inlined
def unchecked_place(checked: npt.NDArray[np.uint8], start: int, end: int) -> int:
    """For kernels: where the first page begins, between two places of the file, that was not checked; -1 for none."""
    for page in range(start >> PAGE_BITS, (end + PAGE_BYTES - 1) >> PAGE_BITS):
        if checked[page] == 0:
            return page << PAGE_BITS
    return signed(-1)


@kernel(int64, readable(uint8), int64, readable(uint64), readable(uint32), int64)
def first_unchecked(
    checked: npt.NDArray[np.uint8],
    at: int,
    starts: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint32],
    place: int,
) -> Any:  # noqa: ANN401 - an integer of numba's
    """Look for rows that lie in pages that were not checked.

    Args:
        checked: of `Pages`.
        at: place in the file of a section of bytes.
        starts: where each row begins in it, and the end of the last, shape (all rows + 1,), uint64.
        rows: to look at, shape (n,), uint32.
        place: of the first of `rows` to look at.

    Returns:
        place of the next row that is not checked whole, n for none.
    """
    while place < len(rows):
        start, end = at + signed(starts[rows[place]]), at + signed(starts[rows[place] + np.uint32(1)])
        if unchecked_place(checked, start, end) >= 0:
            return place
        place += 1
    return place
