"""How well a document matches a pattern: a sum of four numbers between 0 and 1, each a hint at what a reader looks for.

    score = c / (c + 3)           matches, of which the first 16 count
          + d / (d + 1) / 2       density: d = matches in 1,024 bytes of text
          + t                     1 when a match begins in the title
          + w                     share of the counted matches that begin and end at word boundaries

The signals are those of zoekt's ranking (https://github.com/sourcegraph/zoekt, doc/design.md); the weights are ours.
None of the four falls when there are more matches, nor does rounding change that: so the first match of a document
tells what it can score at most, and at least.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

COUNTED_MATCHES: Final = 16

_HALF_OF_COUNT: Final = 3
_DENSITY_BYTES: Final = 1_024
_DENSITY_WEIGHT: Final = 0.5

Numbers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def scores(counts: Numbers, words: Numbers, lengths: Numbers, in_title: npt.NDArray[np.bool_]) -> Scores:
    """Rate documents; all arguments of shape (n,).

    Args:
        counts: matches of each, at least 1 and at most `COUNTED_MATCHES`.
        words: how many of them begin and end at word boundaries.
        lengths: bytes of each text.
        in_title: whether the first match begins in the title.
    """
    density = counts * _DENSITY_BYTES / np.maximum(1, lengths)
    return counts / (counts + _HALF_OF_COUNT) + _DENSITY_WEIGHT * density / (density + 1) + in_title + words / counts


def highest_scores(lengths: Numbers, in_title: npt.NDArray[np.bool_]) -> Scores:
    """What documents of which the first match is known score at most; arguments as `scores`."""
    most = np.full(len(lengths), COUNTED_MATCHES, np.int64)
    return scores(most, most, lengths, in_title)


def lowest_scores(lengths: Numbers, in_title: npt.NDArray[np.bool_]) -> Scores:
    """What documents of which the first match is known score at least; arguments as `scores`."""
    least = np.ones(len(lengths), np.int64)
    return scores(least, np.zeros_like(least), lengths, in_title)


def count_words(text: memoryview, spans: Iterable[tuple[int, int]]) -> int:
    """How many spans of a UTF-8 text, in bytes, begin and end at word boundaries."""
    return sum(_is_word(text, start, end) for start, end in spans)


def _is_word(text: memoryview, start: int, end: int) -> bool:
    starts = start == 0 or not in_word(text[start - 1])
    ends = end == len(text) or not in_word(text[end])
    return starts and ends


def in_word(byte: int) -> bool:
    """Whether a byte is part of an ASCII letter, digit or underscore, or of any other character."""
    return byte >= 0x80 or byte == 0x5F or 0x30 <= byte <= 0x39 or 0x41 <= byte & ~0x20 <= 0x5A  # noqa: PLR2004 - ASCII
