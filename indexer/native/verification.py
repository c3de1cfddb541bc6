"""Which candidates match, and how well: kernels for literals and usual regexes, RE2 for all else.

First every candidate's first match is found, which gives the exact total and what each can score at most. Then the
full score is worked out from the most promising document on, until no other can be among the best.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import DeadlineExceeded
from indexer.native.automaton import Automaton
from indexer.native.budget import TimeBudget
from indexer.native.candidates import Ordinals, fewest_documents
from indexer.native.contents import NativeContents
from indexer.native.gathering import GatheredLines, gather_lines
from indexer.native.lines import first_lines
from indexer.native.literal import Needle, count_matches, first_matches
from indexer.native.pattern import Pattern
from indexer.native.ranking import COUNTED_MATCHES, Numbers, count_words

_CALL_BYTES: Final = 8 * 1024 * 1024
"""Of text that a kernel goes through before the time is looked at: some milliseconds."""

_MANY_CANDIDATES: Final = 64
"""So many are worth an automaton, whose table takes about a millisecond to work out."""

_LINES_OF_A_DOCUMENT: Final = (4, 64, np.iinfo(np.int64).max)
"""To gather at first, then where none of those matches, then of what is left."""


class FirstMatches(msgspec.Struct, frozen=True):
    """The documents of a segment that match.

    Attributes:
        ordinals: shape (n,), uint32.
        places: byte of the text where the first match begins, or its line, shape (n,), int64.
    """

    ordinals: Ordinals
    places: Numbers


class Tallies(msgspec.Struct, frozen=True):
    """What the full score of documents is worked out from.

    Attributes:
        known: which documents there was time for, shape (n,), bool; the others have zeros.
        counts: matches, at most `COUNTED_MATCHES`, shape (n,), int64.
        words: matches that begin and end at word boundaries, shape (n,), int64.
    """

    known: npt.NDArray[np.bool_]
    counts: Numbers
    words: Numbers


class Verifier:
    """Matches one pattern against texts until the time is up.

    Args:
        pattern: what to find.
        budget: of the search; what there is no time for cuts it short.
    """

    def __init__(self, pattern: Pattern, budget: TimeBudget) -> None:
        self._pattern = pattern
        self._budget = budget

    def first_matches(self, contents: NativeContents, candidates: Ordinals) -> FirstMatches:
        """The candidates that match, in no particular order."""
        pattern = self._pattern
        needle = pattern.needle or _rarest(contents, pattern.required)
        automaton = pattern.automaton if len(candidates) >= _MANY_CANDIDATES else None
        if needle is None and automaton is None:
            return self._first_by_regex(contents, candidates.tolist())
        foreign = self._foreign(contents, candidates, needle)
        return _joined(
            self._first_by_kernels(contents, candidates[~foreign], needle, automaton),
            self._first_by_regex(contents, candidates[foreign].tolist()),
        )

    def tally(self, contents: NativeContents, ordinals: Ordinals) -> Tallies:
        """Count the matches of documents that are known to match."""
        counts, words = np.zeros(len(ordinals), np.int64), np.zeros(len(ordinals), np.int64)
        needle = self._pattern.needle
        by_regex = np.ones(len(ordinals), np.bool_) if needle is None else self._foreign(contents, ordinals, needle)
        if needle is not None:
            rest = ~by_regex
            counts[rest], words[rest] = count_matches(
                contents.texts_of(ordinals[rest]), ordinals[rest], needle, COUNTED_MATCHES
            )
        for place in np.flatnonzero(by_regex).tolist():
            counts[place], words[place] = self._tally_by_regex(contents.text_of(int(ordinals[place])))
        return Tallies(counts > 0, counts, words)

    def _foreign(self, contents: NativeContents, ordinals: Ordinals, needle: Needle | None) -> npt.NDArray[np.bool_]:
        """Which documents the kernels cannot search, since a letter may have a form beyond ASCII there."""
        if self._pattern.ignoring_case or (needle is not None and needle.foreign_forms):
            return contents.foreign[ordinals] > 0
        return np.zeros(len(ordinals), np.bool_)

    def _first_by_kernels(
        self, contents: NativeContents, candidates: Ordinals, needle: Needle | None, automaton: Automaton | None
    ) -> FirstMatches:
        if automaton is not None:
            return _joined(*self._first_by_automaton(contents, candidates, automaton, needle))
        return self._first_with(contents, candidates, needle) if needle else _joined()

    def _first_by_automaton(
        self, contents: NativeContents, candidates: Ordinals, automaton: Automaton, needle: Needle | None
    ) -> Iterator[FirstMatches]:
        """The candidates that match; a line that begins in the title is in it, and so are its matches."""
        for part in self._parts(contents, candidates):
            found = first_lines(contents.texts_of(part), part, automaton, needle)
            matching = found >= 0
            yield FirstMatches(part[matching], found[matching])

    def _first_with(self, contents: NativeContents, candidates: Ordinals, needle: Needle) -> FirstMatches:
        """The candidates that match, of which those hold a literal."""
        if self._pattern.needle is not None:
            return _joined(*self._scans(contents, candidates, needle))
        if self._pattern.line_local:
            return _joined(*self._first_by_lines(contents, candidates, needle))
        promising = chain.from_iterable(each.ordinals.tolist() for each in self._scans(contents, candidates, needle))
        return self._first_by_regex(contents, promising)

    def _scans(self, contents: NativeContents, candidates: Ordinals, needle: Needle) -> Iterator[FirstMatches]:
        """The candidates that hold a literal, some at a time, until the time is up."""
        for part in self._parts(contents, candidates):
            found = first_matches(contents.texts_of(part), part, needle)
            matching = found >= 0
            yield FirstMatches(part[matching], found[matching])

    def _first_by_lines(self, contents: NativeContents, candidates: Ordinals, needle: Needle) -> Iterator[FirstMatches]:
        """The candidates that match in a line with a literal; most show it in their first such lines."""
        for part in self._parts(contents, candidates):
            rest, offsets = part, np.zeros(len(part), np.int64)
            for limit in _LINES_OF_A_DOCUMENT:
                size = int(contents.lengths(rest).sum())
                lines = gather_lines(contents.texts_of(rest), rest, needle, offsets=offsets, limit=limit, size=size)
                matching = self._matching_groups(lines)
                yield self._in_or_behind_title(contents, rest[matching], lines.places[matching])
                unread = lines.following >= 0
                unread[matching] = False
                rest, offsets = rest[unread], lines.following[unread]

    def _matching_groups(self, lines: GatheredLines) -> Numbers:
        groups: list[int] = []
        try:
            groups.extend(self._pattern.regex.matching_groups(lines.data.data, lines.starts.tolist(), self._budget))
        except DeadlineExceeded:
            self._budget.cut_short = True
        return np.array(groups, np.int64)

    def _in_or_behind_title(self, contents: NativeContents, ordinals: Ordinals, places: Numbers) -> FirstMatches:
        """First matches that are at `places` or later: where that may be in the title or behind it, look."""
        open_question = places < contents.titles[ordinals]
        looked_at = self._first_by_regex(contents, ordinals[open_question].tolist())
        return _joined(FirstMatches(ordinals[~open_question], places[~open_question]), looked_at)

    def _first_by_regex(self, contents: NativeContents, ordinals: Iterable[int]) -> FirstMatches:
        found = list(self._each_by_regex(contents, ordinals))
        matching = np.array([ordinal for ordinal, _ in found], np.uint32)
        return FirstMatches(matching, np.array([place for _, place in found], np.int64))

    def _each_by_regex(self, contents: NativeContents, ordinals: Iterable[int]) -> Iterator[tuple[int, int]]:
        for ordinal in ordinals:
            if self._budget.spent:
                self._budget.cut_short = True
                return
            try:
                span = next(self._pattern.regex.spans(contents.text_of(ordinal), 0, self._budget), None)
            except DeadlineExceeded:
                self._budget.cut_short = True
                continue  # another document may be smaller
            if span:
                yield ordinal, span[0]

    def _parts(self, contents: NativeContents, ordinals: Ordinals) -> Iterator[Ordinals]:
        """Documents in groups of about `_CALL_BYTES`, until the time is up."""
        ends = np.cumsum(contents.lengths(ordinals))
        limits = np.arange(_CALL_BYTES, int(ends[-1]) if len(ends) else 0, _CALL_BYTES)
        for part in np.split(ordinals, np.searchsorted(ends, limits)):
            if self._budget.spent:
                self._budget.cut_short = True
                return
            yield part

    def _tally_by_regex(self, text: memoryview) -> tuple[int, int]:
        """Counted matches and words; none when there is no time."""
        try:
            spans = list(islice(self._pattern.regex.spans(text, 0, self._budget), COUNTED_MATCHES))
        except DeadlineExceeded:
            self._budget.cut_short = True
            return 0, 0
        return len(spans), count_words(text, spans)


def _rarest(contents: NativeContents, needles: Sequence[Needle]) -> Needle | None:
    """The needle that few documents can hold."""
    return min(needles, key=lambda each: fewest_documents(contents.postings, each.values.tobytes()), default=None)


def _joined(*parts: FirstMatches) -> FirstMatches:
    return FirstMatches(
        np.concatenate([np.empty(0, np.uint32), *(each.ordinals for each in parts)]),
        np.concatenate([np.empty(0, np.int64), *(each.places for each in parts)]),
    )
