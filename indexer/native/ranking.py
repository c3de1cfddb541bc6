"""How well a document matches a pattern: a sum of four numbers between 0 and 1, each a hint at what a reader looks for.

    score = c / (c + 3)           matches, of which the first 16 count
          + d / (d + 1) / 2       density: d = matches in 1,024 bytes of text
          + t                     1 when a match begins in the title
          + w                     share of the counted matches that begin and end at word boundaries

The signals are those of zoekt's ranking (https://github.com/sourcegraph/zoekt, doc/design.md); the weights are ours.
"""

from collections.abc import Sequence
from typing import Final

COUNTED_MATCHES: Final = 16

_HALF_OF_COUNT: Final = 3
_DENSITY_BYTES: Final = 1_024
_DENSITY_WEIGHT: Final = 0.5


def score(text: memoryview, spans: Sequence[tuple[int, int]], title_bytes: int) -> float:
    """Rate a document.

    Args:
        text: its searchable text in UTF-8.
        spans: the first matches, at least one and at most `COUNTED_MATCHES`, in bytes.
        title_bytes: length of the title that the text begins with; 0 when there is none.
    """
    count = len(spans)
    density = count * _DENSITY_BYTES / max(1, len(text))
    in_title = title_bytes > 0 and spans[0][0] < title_bytes
    words = sum(_is_word(text, start, end) for start, end in spans)
    return count / (count + _HALF_OF_COUNT) + _DENSITY_WEIGHT * density / (density + 1) + in_title + words / count


def _is_word(text: memoryview, start: int, end: int) -> bool:
    starts = start == 0 or not _in_word(text[start - 1])
    ends = end == len(text) or not _in_word(text[end])
    return starts and ends


def _in_word(byte: int) -> bool:
    """Whether a byte is part of an ASCII letter, digit or underscore, or of any other character."""
    return byte >= 0x80 or byte == 0x5F or 0x30 <= byte <= 0x39 or 0x41 <= byte & ~0x20 <= 0x5A  # noqa: PLR2004 - ASCII
