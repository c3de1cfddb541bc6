"""Which candidates match, and how well: kernels for literals and usual regexes, RE2 for all else.

Kernels find and count in one walk. Where RE2 is needed, every candidate's first match is found first, which gives the
exact total and what each can score at most; then lines are counted from the most promising document on, until no other
can be among the best.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, takewhile
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import DeadlineExceeded
from indexer.native.budget import TimeBudget
from indexer.native.candidates import fewest_documents, holding
from indexer.native.contents import NativeContents
from indexer.native.gathering import GatheredLines, gather_lines
from indexer.native.helpers import helpers
from indexer.native.lines import LinePattern, tally_lines
from indexer.native.literal import Needle, Texts, tally_literal
from indexer.native.needles import Needles
from indexer.native.pattern import Pattern
from indexer.native.tallies import COUNTED_BYTES, COUNTED_LINES, Numbers, Ordinals, Tallies
from indexer.native.windows import line_end
from indexer.segment import StoredDocuments

_CALL_BYTES: Final = 8 * 1024 * 1024
"""Of text that a kernel goes through before the time is looked at: some milliseconds."""

_MANY_CANDIDATES: Final = 8
"""So many are worth automata, whose tables take half a millisecond to work out."""

_FEW_LITERALS: Final = 8
"""Of so many, it is found out which documents can hold which: each takes about a millisecond."""

_LINES_OF_A_DOCUMENT: Final = (4, 64, np.iinfo(np.int64).max)
"""To gather at first, then where none of those matches, then of what is left."""


class Found(msgspec.Struct, frozen=True):
    """The documents of a segment that match.

    Attributes:
        ordinals: shape (n,), uint32.
        tallies: what is known of each; RE2 finds without counting.
    """

    ordinals: Ordinals
    tallies: Tallies


class Verifier:
    """Matches one pattern against texts until the time is up.

    Args:
        pattern: what to find.
        budget: of the search; what there is no time for cuts it short.
    """

    def __init__(self, pattern: Pattern, budget: TimeBudget) -> None:
        self._pattern = pattern
        self._budget = budget

    def find(self, contents: NativeContents, candidates: Ordinals) -> Found:
        """The candidates that match, in no particular order."""
        pattern = self._pattern
        lines = pattern.lines if pattern.needle is None and len(candidates) >= _MANY_CANDIDATES else None
        needle = pattern.needle or (_rarest(contents, pattern.required) if lines is None else None)
        if needle is None and lines is None:
            return self.find_by_regex(contents, candidates.tolist())
        foreign = self._foreign(contents, candidates, needle)
        if foreign is None:
            return _joined(*self._by_kernels(contents, candidates, needle, lines))
        return _joined(
            *self._by_kernels(contents, candidates[~foreign], needle, lines),
            self.find_by_regex(contents, candidates[foreign].tolist()),
        )

    def count(self, contents: NativeContents, ordinals: Ordinals, places: Numbers) -> Tallies:
        """Count the lines of documents that are known to match, and from where on; 0 where there is no time."""
        tallies = Tallies.uncounted(places)
        for number, (ordinal, place) in enumerate(zip(ordinals.tolist(), places.tolist(), strict=True)):
            text = contents.text_of(ordinal)
            try:
                tallies.counts[number], tallies.words[number] = self._lines_and_words(text, place)
            except DeadlineExceeded:
                self._budget.cut_short = True
                tallies.counts[number] = 0
        return tallies

    def match_ids(self, documents: StoredDocuments, ordinals: Ordinals) -> npt.NDArray[np.bool_]:
        """Which of some documents match in their ids, shape (n,), bool; none where there is no time."""
        pattern = self._pattern
        lines = pattern.lines if pattern.needle is None and len(ordinals) >= _MANY_CANDIDATES else None
        foreign = pattern.ignoring_case or (pattern.needle is not None and pattern.needle.foreign_forms)
        if (foreign and not documents.has_ascii_ids) or (pattern.needle is None and lines is None):
            return np.array([self._matches_id(documents.id(each)) for each in ordinals.tolist()], np.bool_)
        texts = Texts(*documents.id_texts(ordinals))
        if lines is not None:
            tallies = tally_lines(texts, ordinals, lines, None, window=1, limit=1)
        else:
            assert pattern.needle is not None  # noqa: S101 - tells mypy what the branches above leave
            tallies = tally_literal(texts, ordinals, pattern.needle, window=1, limit=1)
        return tallies.places >= 0

    def _matches_id(self, document_id: str) -> bool:
        try:
            return any(self._pattern.regex.lines(memoryview(document_id.encode()), 0, self._budget))
        except DeadlineExceeded:
            self._budget.cut_short = True
            return False

    def _foreign(
        self, contents: NativeContents, ordinals: Ordinals, needle: Needle | None
    ) -> npt.NDArray[np.bool_] | None:
        """Which documents the kernels cannot search, for a letter may have a form beyond ASCII there; None for none."""
        if not self._pattern.ignoring_case and (needle is None or not needle.foreign_forms):
            return None
        foreign = contents.foreign[ordinals] > 0
        return foreign if foreign.any() else None

    def _by_kernels(
        self, contents: NativeContents, candidates: Ordinals, needle: Needle | None, lines: LinePattern | None
    ) -> Iterator[Found]:
        if lines is not None:
            yield from self._by_automata(contents, candidates, lines)
        elif needle is not None:
            yield from self._with_literal(contents, candidates, needle)

    def _by_automata(self, contents: NativeContents, candidates: Ordinals, lines: LinePattern) -> list[Found]:
        """The candidates that match; a line that begins in the title is in it, and so are its matches."""

        def tallied(part: Ordinals, needles: Needles | None) -> Found:
            texts = contents.texts_of(part)
            return _matching(part, tally_lines(texts, part, lines, needles, window=COUNTED_BYTES, limit=COUNTED_LINES))

        return [
            found
            for ordinals, needles in _by_literals(contents, candidates, lines.required)
            for found in self._side_by_side(contents, ordinals, partial(tallied, needles=needles))
        ]

    def _with_literal(self, contents: NativeContents, candidates: Ordinals, needle: Needle) -> Iterator[Found]:
        """The candidates that match, of which those hold a literal."""
        if self._pattern.needle is not None:
            yield from self._side_by_side(contents, candidates, lambda part: self._scan(contents, part, needle))
        elif self._pattern.line_local:
            yield from self._by_lines(contents, candidates, needle)
        else:
            scans = (self._scan(contents, part, needle) for part in self._parts(contents, candidates))
            yield self.find_by_regex(contents, chain.from_iterable(each.ordinals.tolist() for each in scans))

    @staticmethod
    def _scan(contents: NativeContents, part: Ordinals, needle: Needle) -> Found:
        """The documents that hold a literal."""
        texts = contents.texts_of(part)
        return _matching(part, tally_literal(texts, part, needle, window=COUNTED_BYTES, limit=COUNTED_LINES))

    def _by_lines(self, contents: NativeContents, candidates: Ordinals, needle: Needle) -> Iterator[Found]:
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

    def _in_or_behind_title(self, contents: NativeContents, ordinals: Ordinals, places: Numbers) -> Found:
        """First matches that are at `places` or later: where that may be in the title or behind it, look."""
        open_question = places < contents.titles[ordinals]
        looked_at = self.find_by_regex(contents, ordinals[open_question].tolist())
        return _joined(Found(ordinals[~open_question], Tallies.uncounted(places[~open_question])), looked_at)

    def find_by_regex(self, contents: NativeContents, ordinals: Iterable[int]) -> Found:
        """The documents that match, as RE2 alone finds them."""
        found = list(self._each_by_regex(contents, ordinals))
        matching = np.array([ordinal for ordinal, _ in found], np.uint32)
        return Found(matching, Tallies.uncounted(np.array([place for _, place in found], np.int64)))

    def _each_by_regex(self, contents: NativeContents, ordinals: Iterable[int]) -> Iterator[tuple[int, int]]:
        for ordinal in ordinals:
            if self._budget.runs_out():
                return
            try:
                line = next(self._pattern.regex.lines(contents.text_of(ordinal), 0, self._budget), None)
            except DeadlineExceeded:
                self._budget.cut_short = True
                continue  # another document may be smaller
            if line:
                yield ordinal, line[0]

    def _side_by_side(
        self, contents: NativeContents, ordinals: Ordinals, find: Callable[[Ordinals], Found]
    ) -> list[Found]:
        """What is found in groups of documents of about `_CALL_BYTES`, until the time is up."""

        def found_in_time(part: Ordinals) -> Found | None:
            if self._budget.runs_out():
                return None
            return find(part)

        parts = _split(ordinals, contents.lengths(ordinals))
        return [found for found in helpers().map(found_in_time, parts) if found is not None]

    def _parts(self, contents: NativeContents, ordinals: Ordinals) -> Iterator[Ordinals]:
        """Documents in groups of about `_CALL_BYTES`, until the time is up."""
        for part in _split(ordinals, contents.lengths(ordinals)):
            if self._budget.runs_out():
                return
            yield part

    def _lines_and_words(self, text: memoryview, place: int) -> tuple[int, int]:
        """Counted lines and words, of a text that matches in no line before the one that begins at a place."""
        first, end = next(self._pattern.regex.lines(text, place, self._budget))
        if self._pattern.line_local:
            text = text[: line_end(text, min(first + COUNTED_BYTES, len(text)) - 1)]
        lines = self._pattern.regex.lines(text, end + 1, self._budget)
        near = takewhile(lambda line: line[0] < first + COUNTED_BYTES, lines)
        counted = [(first, end), *islice(near, COUNTED_LINES - 1)]
        return len(counted), sum(self._is_word(text, *line) for line in counted)

    def _is_word(self, text: memoryview, start: int, end: int) -> bool:
        """Whether a match that begins and ends at word boundaries begins in a line."""
        whole_words = self._pattern.whole_words
        if whole_words is None:
            return False
        seen = text[:end] if self._pattern.line_local else text
        found = next(whole_words.lines(seen, start, self._budget), None)
        return found is not None and found[0] == start


def _matching(ordinals: Ordinals, tallies: Tallies) -> Found:
    matching = tallies.places >= 0
    return Found(ordinals[matching], tallies.of(matching))


def _split(ordinals: Ordinals, lengths: Numbers) -> Sequence[Ordinals]:
    """Groups of about `_CALL_BYTES`: one, if that is enough, as it nearly always is."""
    if int(lengths.sum()) <= _CALL_BYTES:
        return [ordinals]
    ends = np.cumsum(lengths)
    limits = np.arange(_CALL_BYTES, int(ends[-1]), _CALL_BYTES)
    return np.split(ordinals, np.searchsorted(ends, limits))


def _rarest(contents: NativeContents, needles: Sequence[Needle]) -> Needle | None:
    """The needle that few documents can hold."""
    return min(needles, key=lambda each: fewest_documents(contents.postings, each.values.tobytes()), default=None)


def _by_literals(
    contents: NativeContents, ordinals: Ordinals, choices: Sequence[Sequence[Needle]]
) -> Iterator[tuple[Ordinals, Needles | None]]:
    """Documents, with the literals of which every match in them holds one; None where none are known.

    Each literal takes a scan of its own, and most documents can hold but one of several.
    """
    if not choices:
        yield ordinals, None
        return
    needles = min(choices, key=lambda each: sum(fewest_documents(contents.postings, one.folded) for one in each))
    worth_it = 1 < len(needles) <= _FEW_LITERALS and int(contents.lengths(ordinals).sum()) > _CALL_BYTES
    if not worth_it:
        yield ordinals, Needles.of(needles)
        return
    possible = np.zeros((len(needles), len(contents.titles)), np.bool_)
    for flags, needle in zip(possible, needles, strict=True):
        flags[holding(contents.postings, needle.folded)] = True
    possible = possible[:, ordinals]
    literals = np.count_nonzero(possible, axis=0)
    for flags, needle in zip(possible, needles, strict=True):
        yield ordinals[flags & (literals == 1)], Needles.of([needle])
    yield ordinals[literals > 1], Needles.of(needles)


def _joined(*parts: Found) -> Found:
    if len(parts) == 1:
        return parts[0]
    ordinals = np.concatenate([np.empty(0, np.uint32), *(each.ordinals for each in parts)])
    return Found(ordinals, Tallies.joined([each.tallies for each in parts]))
