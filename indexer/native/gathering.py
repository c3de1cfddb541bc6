"""The lines that hold a literal, copied together from many documents, so that RE2 reads them and nothing else.

A line-local pattern matches within one line and sees nothing beyond it. So where every match holds a literal, matches
are looked for in the lines with that literal; and since a call of RE2 costs more than a line, in many lines at once.
"""

import msgspec
import numpy as np

from indexer.compiled import int64, kernel, readable, uint8, uint32, writable
from indexer.native.literal import NEEDLE, TEXTS, Needle, Texts, find
from indexer.native.tallies import NEWLINE, Bytes, Numbers, Ordinals, line_end, line_start


class GatheredLines(msgspec.Struct, frozen=True):
    """Lines of several documents.

    Attributes:
        data: the lines, each with a newline, uint8.
        starts: where the lines of each document begin, and the end of the last, shape (n + 1,), int64.
        places: byte of the document where its first line here begins, -1 for none, shape (n,), int64.
        following: byte of the document that the next call goes on from, -1 when all is gathered, shape (n,), int64.
    """

    data: Bytes
    starts: Numbers
    places: Numbers
    following: Numbers


def gather_lines(
    texts: Texts, ordinals: Ordinals, needle: Needle, *, offsets: Numbers, limit: int, size: int
) -> GatheredLines:
    """Copy lines that hold a literal.

    Args:
        texts: of a segment.
        ordinals: documents to read, shape (n,).
        needle: the literal; it holds no newline.
        offsets: beginning of a line in each document to read from, shape (n,), int64.
        limit: lines of a document to copy at most.
        size: bytes of all these documents.
    """
    data = np.empty(size + len(ordinals), np.uint8)
    starts = np.zeros(len(ordinals) + 1, np.int64)
    places, following = np.full(len(ordinals), -1, np.int64), np.full(len(ordinals), -1, np.int64)
    _gather(texts, ordinals, needle, offsets, limit, data, starts, places, following)
    return GatheredLines(data[: starts[-1]], starts, places, following)


@kernel(
    int64,
    TEXTS,
    readable(uint32),
    NEEDLE,
    readable(int64),
    int64,
    writable(uint8),
    writable(int64),
    writable(int64),
    writable(int64),
)
def _gather(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    texts: Texts,
    ordinals: Ordinals,
    needle: Needle,
    offsets: Numbers,
    limit: int,
    data: Bytes,
    starts: Numbers,
    places: Numbers,
    following: Numbers,
) -> int:
    filled = 0
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        lines, following_line = 0, offsets[place]
        at = find(text, following_line, len(text), needle)
        while at < len(text) and lines < limit:
            start, end = line_start(text, at, following_line), line_end(text, at)
            data[filled : filled + end - start] = text[start:end]
            filled += end - start
            data[filled] = NEWLINE
            filled += 1
            if lines == 0:
                places[place] = start
            lines += 1
            following_line = min(end + 1, len(text))
            at = find(text, following_line, len(text), needle)
        following[place] = following_line if at < len(text) else -1
        starts[place + 1] = filled
    return filled
