"""The first line of each document that matches, found by a compiled walk through many documents in one call.

Where every match holds a literal, only the lines with that literal are walked through.
"""

from typing import Any, Final

import numpy as np

from indexer.compiled import inlined, int64, kernel, readable, uint32, void, writable
from indexer.native.automaton import AUTOMATON, Automaton
from indexer.native.literal import NEEDLE, TEXTS, Bytes, Needle, Numbers, Ordinals, Texts, find

_NEWLINE: Final = 0x0A


def first_lines(texts: Texts, ordinals: Ordinals, automaton: Automaton, needle: Needle | None) -> Numbers:
    """Where the first line with a match begins.

    Args:
        texts: of a segment.
        ordinals: documents to look at, shape (n,).
        automaton: of the pattern.
        needle: a literal that every match holds; None when none is known.

    Returns:
        byte of the document, -1 where nothing matches; shape (n,), int64.
    """
    found = np.empty(len(ordinals), np.int64)
    if needle is None:
        _first_lines(texts, ordinals, automaton, found)
    else:
        _first_lines_with(texts, ordinals, automaton, needle, found)
    return found


@inlined
def _matching_line(text: Bytes, start: int, end: int, automaton: Automaton) -> Any:  # noqa: ANN401 - an integer of numba's
    """Where the first line with a match begins among the whole lines from `start` to `end`, -1 when none does."""
    row = np.int64(0)
    at = start
    while at < end and row != automaton.matched:
        row = np.int64(automaton.table[row + automaton.classes[text[at]]])
        at += 1
    if row == automaton.matched:
        at -= 1
    elif automaton.table[row + automaton.classes[_NEWLINE]] != automaton.matched:
        return -1
    while at > start and text[at - 1] != _NEWLINE:
        at -= 1
    return at


@kernel(void, TEXTS, readable(uint32), AUTOMATON, writable(int64))
def _first_lines(texts: Texts, ordinals: Ordinals, automaton: Automaton, found: Numbers) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        found[place] = _matching_line(text, 0, len(text), automaton)


@kernel(void, TEXTS, readable(uint32), AUTOMATON, NEEDLE, writable(int64))
def _first_lines_with(texts: Texts, ordinals: Ordinals, automaton: Automaton, needle: Needle, found: Numbers) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        end = max(0, len(text) - len(needle.values) + 1)
        found[place] = -1
        line_end = 0
        at = find(text, 0, end, needle)
        while at < end and found[place] < 0:
            line_start = at
            while line_start > line_end and text[line_start - 1] != _NEWLINE:
                line_start -= 1
            line_end = at + len(needle.values)
            while line_end < len(text) and text[line_end] != _NEWLINE:
                line_end += 1
            found[place] = _matching_line(text, line_start, line_end, automaton)
            at = find(text, line_end, end, needle) if line_end < end else end
