"""A section of a segment's file, as its readers have it: mapped, and checked page by page before it is read."""

from bisect import bisect_right
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from indexer.segment.pages import PAGE_BITS, Pages, first_unchecked

N = TypeVar("N", bound=np.generic)

_START_BYTES: Final = 8


class Section(Generic[N]):
    """The numbers of a section, mapped; whatever gives some of them checks their pages first.

    Attributes:
        unchecked: all of them, for kernels, and for code that has touched what it reads: one-dimensional, or (rows,
            columns) for a table; read-only.
        pages: of the file.
        at: place in the file where the section begins.
    """

    def __init__(self, pages: Pages, at: int, values: npt.NDArray[N]) -> None:
        self.pages = pages
        self.at = at
        self.unchecked = values
        self._row_bytes = values.itemsize * (values.shape[1] if values.ndim > 1 else 1)
        self._numbers = values.data
        self._sound = False

    def __len__(self) -> int:
        return len(self.unchecked)

    def touch(self, first: int, end: int) -> None:
        """Check the pages of the rows from `first` to before `end`.

        Raises:
            SegmentDamaged: naming what changed.
        """
        self.pages.touch(self.at + first * self._row_bytes, self.at + end * self._row_bytes)

    def part(self, first: int, end: int) -> npt.NDArray[N]:
        """The rows from `first` to before `end`; as `touch`."""
        self.touch(first, end)
        return self.unchecked[first:end]

    def whole(self) -> npt.NDArray[N]:
        """All rows; as `touch`."""
        if not self._sound:
            self.touch(0, len(self))
            self._sound = True
        return self.unchecked

    def number(self, row: int) -> int:
        """One number of a section that is no table; as `touch`."""
        if not self.pages.flags[(self.at + row * self._row_bytes) >> PAGE_BITS]:
            self.touch(row, row + 1)
        number: int = self._numbers[row]
        return number

    def rows_up_to(self, number: int) -> int:
        """How many numbers of a sorted section are no larger than this one; as `touch`."""
        self.whole()
        return bisect_right(self._numbers, number)

    def row(self, starts: "Section[np.uint64]", row: int) -> memoryview:
        """The bytes of a row of a section of bytes, not copied; as `touch`.

        Args:
            starts: where each row begins, and the end of the last.
            row: which one.
        """
        flags, place, offsets = starts.pages.flags, starts.at + row * _START_BYTES, starts._numbers  # noqa: SLF001 - of the same class
        if not (flags[place >> PAGE_BITS] and flags[(place + _START_BYTES) >> PAGE_BITS]):
            starts.touch(row, row + 2)
        first, end = offsets[row], offsets[row + 1]
        flags, page, last = self.pages.flags, (self.at + first) >> PAGE_BITS, (self.at + end - 1) >> PAGE_BITS
        if last - page > 1 or not (flags[page] and flags[last]):
            self.touch(first, end)
        return self._numbers[first:end]

    def touch_rows(self, starts: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32]) -> None:
        """Check the pages of some rows of a section of bytes; as `touch`.

        Args:
            starts: where each row begins, and the end of the last, shape (all rows + 1,), uint64.
            rows: shape (n,), uint32.
        """
        place = 0
        while (place := first_unchecked(self.pages.checked, self.at, starts, rows, place)) < len(rows):
            self.touch(int(starts[rows[place]]), int(starts[rows[place] + 1]))
            place += 1

    def last(self) -> int:
        """The last number; as `touch`. 0 when there is none."""
        return self.number(len(self) - 1) if len(self) else 0
