"""The lines of each document that match, found by a compiled walk through many documents in one call.

Where every match holds one of some literals, only the lines with one of these are walked through.
"""

from typing import Any

import msgspec
import numpy as np

from indexer.compiled import inlined, int64, kernel, readable, uint32, void, writable
from indexer.native.automaton import AUTOMATON, Automaton, compile_automaton, whole_words_of
from indexer.native.literal import TEXTS, Needle, Texts
from indexer.native.needles import NEEDLES, Needles, find_any
from indexer.native.octets import parse_octets
from indexer.native.required import required_needles
from indexer.native.syntax import NotUnderstood
from indexer.native.tallies import NEWLINE, Bytes, Numbers, Ordinals, Tallies, line_end, line_start, window_end


class LinePattern(msgspec.Struct, frozen=True):
    """A regex whose matches stay within their lines, as the kernels take it.

    Attributes:
        matches: finds the lines with a match.
        whole_words: finds those with a match that begins and ends at word boundaries.
        required: sets of literals; every match holds a member of each set.
    """

    matches: Automaton
    whole_words: Automaton
    required: list[tuple[Needle, ...]]


def compile_lines(regex: str, *, ignoring_case: bool) -> LinePattern | None:
    """Read a regex that RE2 accepts, and whose matches stay within their lines.

    Returns:
        what finds the lines with a match, in texts without foreign forms if case is ignored; None when RE2 has to,
        since the regex is not understood, matches the empty string, or would need too large a table.
    """
    try:
        node = parse_octets(regex, ignoring_case=ignoring_case)
    except NotUnderstood:
        return None
    matches = compile_automaton(node)
    whole_words = None if matches is None else compile_automaton(whole_words_of(node))
    if matches is None or whole_words is None:
        return None
    return LinePattern(matches, whole_words, required_needles(node))


def tally_lines(
    texts: Texts, ordinals: Ordinals, pattern: LinePattern, needles: Needles | None, *, window: int, limit: int
) -> Tallies:
    """Find and count lines with a match; see `indexer.native.tallies`.

    Args:
        texts: of a segment.
        ordinals: documents to look at, shape (n,).
        pattern: the regex.
        needles: literals of which every match holds one; None when none are known.
        window: bytes from the first line with a match on, in which others count.
        limit: lines of a document to count at most.
    """
    tallies = Tallies.empty(len(ordinals))
    filled = (tallies.places, tallies.counts, tallies.words)
    automata = (pattern.matches, pattern.whole_words)
    if needles is None:
        _tally_lines(texts, ordinals, *automata, window, limit, *filled)
    else:
        _tally_lines_with(texts, ordinals, *automata, needles, window, limit, *filled)
    return tallies


@inlined
def _matches(text: Bytes, start: int, end: int, automaton: Automaton) -> bool:
    """Whether the line from `start` to `end` holds a match."""
    row = np.int64(0)
    at = start
    while at < end and row != automaton.matched and row != automaton.hopeless:  # noqa: PLR1714 - kernels have no sets
        row = np.int64(automaton.table[row + automaton.classes[text[at]]])
        at += 1
    return bool(row == automaton.matched or automaton.table[row + automaton.classes[NEWLINE]] == automaton.matched)


@inlined
def _matching_line(text: Bytes, start: int, end: int, automaton: Automaton) -> Any:  # noqa: ANN401 - an integer of numba's
    """Where the first line with a match begins among the whole lines from `start` to `end`, or else `end`."""
    row = np.int64(0)
    at = start
    while at < end and row != automaton.matched:
        row = np.int64(automaton.table[row + automaton.classes[text[at]]])
        at += 1
        if row == automaton.hopeless:
            at = line_end(text, at)
    if row == automaton.matched:
        return line_start(text, at - 1, start)
    if automaton.table[row + automaton.classes[NEWLINE]] == automaton.matched:
        return line_start(text, at, start)
    return end


@kernel(
    void,
    TEXTS,
    readable(uint32),
    AUTOMATON,
    AUTOMATON,
    int64,
    int64,
    writable(int64),
    writable(int64),
    writable(int64),
)
def _tally_lines(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    texts: Texts,
    ordinals: Ordinals,
    automaton: Automaton,
    whole_words: Automaton,
    window: int,
    limit: int,
    places: Numbers,
    counts: Numbers,
    words: Numbers,
) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        places[place], counts[place], words[place] = -1, 0, 0
        stop = len(text)
        start = _matching_line(text, 0, stop, automaton)
        while start < stop and counts[place] < limit:
            if counts[place] == 0:
                places[place] = start
                stop = window_end(text, start, window)
            end = line_end(text, start)
            counts[place] += 1
            words[place] += _matches(text, start, end, whole_words)
            start = _matching_line(text, end + 1, stop, automaton) if end + 1 < stop else stop


@kernel(
    void,
    TEXTS,
    readable(uint32),
    AUTOMATON,
    AUTOMATON,
    NEEDLES,
    int64,
    int64,
    writable(int64),
    writable(int64),
    writable(int64),
)
def _tally_lines_with(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    texts: Texts,
    ordinals: Ordinals,
    automaton: Automaton,
    whole_words: Automaton,
    needles: Needles,
    window: int,
    limit: int,
    places: Numbers,
    counts: Numbers,
    words: Numbers,
) -> None:
    for place in range(len(ordinals)):
        text = texts.data[texts.starts[ordinals[place]] : texts.starts[ordinals[place] + 1]]
        places[place], counts[place], words[place] = -1, 0, 0
        stop, following = len(text), 0
        at = find_any(text, 0, stop, needles)
        while at < stop and counts[place] < limit:
            start, end = line_start(text, at, following), line_end(text, at)
            if _matches(text, start, end, automaton):
                if counts[place] == 0:
                    places[place] = start
                    stop = window_end(text, start, window)
                counts[place] += 1
                words[place] += _matches(text, start, end, whole_words)
            following = end + 1
            at = find_any(text, following, stop, needles)
