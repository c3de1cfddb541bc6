"""What is counted of a text, worked out the long way."""

from collections.abc import Iterable

import numpy as np

from indexer.native.literal import Texts

Tally = tuple[int, int, int]
"""Beginning of the first line with a match, or -1; lines that count; those of them that hold a whole word."""


def as_texts(texts: list[bytes]) -> Texts:
    """Documents as a segment has them."""
    starts = np.cumsum([0, *map(len, texts)]).astype(np.uint64)
    starts.setflags(write=False)  # as mapped files are
    return Texts(np.frombuffer(b"".join(texts), np.uint8), starts)


def tally(lines: Iterable[int], whole_words: set[int], *, window: int, limit: int) -> Tally:
    """What counts, by the beginnings of all lines with a match, ascending, and of those with a whole word."""
    matching = list(lines)
    near = [line for line in matching if line < matching[0] + window][:limit]
    return (matching[0] if matching else -1, len(near), len(whole_words.intersection(near)))


def line_of(text: bytes, at: int) -> int:
    """Where the line of a byte begins."""
    return text.rfind(b"\n", 0, at) + 1


def lines_of(text: bytes) -> list[tuple[int, bytes]]:
    """All lines, and where each begins."""
    lines = text.split(b"\n")
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)]).tolist()
    return list(zip(starts, lines, strict=False))
