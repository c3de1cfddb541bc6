"""The kernel that takes identifiers apart as `indexer.analysis.runs` does: segments hold hundreds of thousands of them.

Only ASCII is done here, which is almost all of source code; other runs are left to the analyzer.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.analysis.analyzer import MAX_RUN_CHARACTERS
from indexer.compiled import inlined, int64, kernel, readable, uint8, void, writable

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

_OTHER: Final = 0
_DIGIT: Final = 1
_UPPER: Final = 2
_LOWER: Final = 3
_FOREIGN: Final = 4
_KINDS: Final = np.array(
    [_DIGIT if 48 <= c <= 57 else _UPPER if 65 <= c <= 90 else _LOWER if 97 <= c <= 122 else _OTHER for c in range(128)]  # noqa: PLR2004 - ASCII
    + [_FOREIGN] * 128,
    np.uint8,
)
_LOWERED: Final = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_ZERO, _X, _S, _UNDERSCORE, _SEPARATOR = b"0xs_\n"


class Words(NamedTuple):
    """The folded words of some runs.

    Attributes:
        text: the words of all runs, a newline behind each, uint8; an identifier of several parts comes before them.
        ends: where those of each run end, shape (runs,), int64.
        foreign: numbers of the runs that are not ASCII; no words of theirs are here.
    """

    text: Bytes
    ends: Places
    foreign: Places


def ascii_words(data: Bytes, starts: Places) -> Words:
    """The words of runs.

    Args:
        data: bytes of the runs, one after another, uint8.
        starts: where each begins, and the end of the last, shape (runs + 1,), int64.
    """
    runs = len(starts) - 1
    ends, foreign = np.empty(runs, np.int64), np.empty(runs, np.int64)
    # A run gives itself, its parts, and as many separators as there are words.
    words = np.empty(3 * int(starts[-1] - starts[0]) + runs, np.uint8)
    sizes = np.zeros(2, np.int64)
    _write_words(data, starts, MAX_RUN_CHARACTERS, words, ends, foreign, sizes)
    return Words(words[: sizes[0]], ends, foreign[: sizes[1]])


@inlined
def _kind(run: Bytes, at: int) -> int:
    return _KINDS[run[at]] if at < len(run) else _OTHER


@inlined
def _after(run: Bytes, at: int, kind: int) -> int:
    """Behind the characters of a kind that begin at a place."""
    while _kind(run, at) == kind:
        at += 1
    return at


@inlined
def _hexadecimal_end(run: Bytes, at: int) -> int:
    """Behind a hexadecimal number with its prefix, or `at` when there is none."""
    prefixed = at + 1 < len(run) and run[at] == _ZERO and _LOWERED[run[at + 1]] == _X
    if not prefixed or (at > 0 and _KINDS[run[at - 1]] != _OTHER):
        return at
    end = at + 2
    while end < len(run) and (_KINDS[run[end]] == _DIGIT or 97 <= _LOWERED[run[end]] <= 102):  # noqa: PLR2004 - a to f
        end += 1
    return end if end > at + 2 and _kind(run, end) == _OTHER else at


@inlined
def _part_end(run: Bytes, at: int) -> int:
    """Behind the part that begins at a place, as `runs.parts` cuts them; `at` where none begins."""
    kind = _kind(run, at)
    if kind == _DIGIT:
        end = _hexadecimal_end(run, at)
        return end if end > at else _after(run, at, _DIGIT)
    if kind != _UPPER:
        return _after(run, at, _LOWER)
    end = _after(run, at, _UPPER)
    if _kind(run, end) != _LOWER:
        return end
    if end - at > 1 and run[end] == _S and _kind(run, end + 1) != _LOWER:
        return end + 1
    return end - 1 if end - at > 1 else _after(run, end, _LOWER)


@inlined
def _write(run: Bytes, begin: int, end: int, words: Bytes, at: int) -> int:
    for place in range(begin, end):
        words[at] = _LOWERED[run[place]]
        at += 1
    words[at] = _SEPARATOR
    return at + 1


@inlined
def _is_foreign(run: Bytes) -> bool:
    for byte in run:  # noqa: SIM110 - kernels have no generators
        if _KINDS[byte] == _FOREIGN:
            return True
    return False


@inlined
def _count_parts(run: Bytes) -> int:
    parts = at = 0
    while at < len(run):
        end = _part_end(run, at)
        parts += end > at
        at = max(end, at + 1)
    return parts


@inlined
def _write_whole(run: Bytes, words: Bytes, written: int) -> int:
    begin, end = 0, len(run)
    while run[begin] == _UNDERSCORE:
        begin += 1
    while run[end - 1] == _UNDERSCORE:
        end -= 1
    return _write(run, begin, end, words, written)


@inlined
def _write_parts(run: Bytes, words: Bytes, written: int) -> int:
    at = 0
    while at < len(run):
        end = _part_end(run, at)
        if end > at:
            written = _write(run, at, end, words, written)
        at = max(end, at + 1)
    return written


@kernel(
    void, readable(uint8), readable(int64), int64, writable(uint8), writable(int64), writable(int64), writable(int64)
)
def _write_words(
    data: Bytes, starts: Places, longest: int, words: Bytes, ends: Places, foreign: Places, sizes: Places
) -> None:
    """Write the words of runs, each with a separator behind it.

    Args:
        data: bytes of the runs, uint8.
        starts: where each begins, and the end of the last, int64.
        longest: characters that a run may have that gives words.
        words: takes the words, uint8.
        ends: takes how many words there are up to the end of each run, int64.
        foreign: takes the runs that are not ASCII, int64.
        sizes: takes how much was written of `words` and `foreign`, shape (2,), int64.
    """
    written = count = foreign_runs = 0
    for number in range(len(ends)):
        run = data[starts[number] : starts[number + 1]]
        if _is_foreign(run):
            foreign[foreign_runs] = number
            foreign_runs += 1
        elif len(run) <= longest:
            parts = _count_parts(run)
            if parts > 1:
                written = _write_whole(run, words, written)
            written = _write_parts(run, words, written)
            count += parts + (parts > 1)
        ends[number] = count
    sizes[0], sizes[1] = written, foreign_runs
