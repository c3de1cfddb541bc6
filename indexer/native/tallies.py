"""What is counted of a document that matches: lines, near the first match, so that no document takes long to rate.

Counted are the lines in which a match begins, as `grep -c` does, of those that begin in the `COUNTED_BYTES` from the
first of them on, and no more than `COUNTED_LINES`. A line counts as a word where one of its matches begins and ends at
word boundaries. Kernels and RE2 count alike.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.compiled import inlined

COUNTED_LINES: Final = 16
COUNTED_BYTES: Final = 2_048

NEWLINE: Final = 0x0A

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Ordinals = npt.NDArray[np.uint32]


class Tallies(msgspec.Struct, frozen=True):
    """What is known of documents.

    Attributes:
        places: byte where the first line with a match begins, or an earlier one, -1 for no match; shape (n,), int64.
        counts: lines with a match, 0 where they were not counted; shape (n,), int64.
        words: those of them with a match that begins and ends at word boundaries; shape (n,), int64.
    """

    places: Numbers
    counts: Numbers
    words: Numbers

    @classmethod
    def empty(cls, documents: int) -> Self:
        """For a kernel to fill."""
        return cls(*np.zeros((3, documents), np.int64))

    @classmethod
    def uncounted(cls, places: Numbers) -> Self:
        """Where documents match, and no more."""
        return cls(places, *np.zeros((2, len(places)), np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all parts."""
        columns = ([each.places for each in parts], [each.counts for each in parts], [each.words for each in parts])
        return cls(*(np.concatenate([np.empty(0, np.int64), *column]) for column in columns))

    def of(self, documents: npt.NDArray[np.bool_]) -> Self:
        """Those of some documents, by a flag for each."""
        return type(self)(self.places[documents], self.counts[documents], self.words[documents])


@inlined
def in_word(byte: int) -> bool:
    """Whether a byte is part of an ASCII letter, digit or underscore, or of any other character."""
    return byte >= 0x80 or byte == 0x5F or (0x30 <= byte <= 0x39) or (0x41 <= byte & 0xDF <= 0x5A)  # noqa: PLR2004 - ASCII


@inlined
def line_start(text: Bytes, at: int, least: int) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: where the line of a byte begins, unless it begins before `least`."""
    while at > least and text[at - 1] != NEWLINE:
        at -= 1
    return at


@inlined
def line_end(text: Bytes, at: int) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: the newline from `at` on, or the end of the text."""
    while at < len(text) and text[at] != NEWLINE:
        at += 1
    return at


@inlined
def window_end(text: Bytes, start: int, size: int) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: where the last line ends that begins in the `size` bytes from `start` on, its newline included."""
    if start + size >= len(text):
        return len(text)
    return min(line_end(text, start + size - 1) + 1, len(text))
