"""Cuts the passage out of a document that shows best why it was found, as safe HTML.

Nothing but `<mark>` is a tag in a snippet; whatever the document holds is escaped.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import msgspec

SNIPPET_CHARACTERS: Final = 240
MAX_MATCHES: Final = 200
"""Matches looked at; more change nothing that a reader would notice."""

_MARGIN: Final = 20  # how far a cut may move to fall between words
_ELLIPSIS: Final = "…"
_WHITESPACE: Final = re.compile(r"\s+")


class Match(msgspec.Struct, frozen=True, order=True):
    """Characters of the text that matched.

    Attributes:
        start: of the first character.
        end: behind the last one.
        term: what matched there; a passage with several terms is better than one with a single term several times.
    """

    start: int
    end: int
    term: str = ""


def make_snippet(text: str, matches: Sequence[Match], *, focus: int = 0, highlight: bool = True) -> str:
    """The passage with the most different terms, at most about `SNIPPET_CHARACTERS` long.

    Args:
        text: of the document.
        matches: in any order; may overlap.
        focus: where to begin when there are no matches.
        highlight: put matches between `<mark>` and `</mark>`.
    """
    ordered = sorted(match for match in matches if 0 <= match.start < match.end <= len(text))[:MAX_MATCHES]
    start, end = _window(text, ordered, focus)
    marks = _merge(ordered, start, end) if highlight else []
    body = "".join(_pieces(text, marks, start, end)).strip()
    return f"{f'{_ELLIPSIS} ' if start > 0 else ''}{body}{f' {_ELLIPSIS}' if end < len(text) else ''}"


def _window(text: str, matches: Sequence[Match], focus: int) -> tuple[int, int]:
    if matches:
        first, last = _best_run(matches)
        covered = min(last - first, SNIPPET_CHARACTERS)
        begin = first - (SNIPPET_CHARACTERS - covered) // 2
    else:
        begin = focus
    begin = max(0, min(begin, len(text) - SNIPPET_CHARACTERS))
    end = min(len(text), begin + SNIPPET_CHARACTERS)
    return _after_space(text, begin), _before_space(text, end)


def _best_run(matches: Sequence[Match]) -> tuple[int, int]:
    """The stretch that fits into a snippet with the most different terms, then the most matches, then the earliest."""
    best, best_worth = (matches[0].start, matches[0].end), (0, 0)
    terms: Counter[str] = Counter()
    left = 0
    for right, match in enumerate(matches):
        terms[match.term] += 1
        while left < right and match.end - matches[left].start > SNIPPET_CHARACTERS:
            terms[matches[left].term] -= 1
            if not terms[matches[left].term]:
                del terms[matches[left].term]
            left += 1
        worth = (len(terms), right - left + 1)
        if worth > best_worth:
            best, best_worth = (matches[left].start, match.end), worth
    return best


def _after_space(text: str, begin: int) -> int:
    """A cut in the middle of a word moves on behind it, if a space is near."""
    if begin == 0:
        return 0
    space = _WHITESPACE.search(text, begin - 1, begin + _MARGIN)
    return space.end() if space else begin


def _before_space(text: str, end: int) -> int:
    if end == len(text):
        return end
    spaces = list(_WHITESPACE.finditer(text, max(0, end - _MARGIN), end + 1))
    return spaces[-1].start() if spaces else end


def _merge(matches: Sequence[Match], start: int, end: int) -> list[tuple[int, int]]:
    """The matches within the window as ranges that do not touch."""
    merged: list[tuple[int, int]] = []
    for match in matches:
        first, last = max(match.start, start), min(match.end, end)
        if first >= last:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _pieces(text: str, marks: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[str]:
    position = start
    for first, last in marks:
        yield _escaped(text[position:first])
        yield f"<mark>{_escaped(text[first:last])}</mark>"
        position = last
    yield _escaped(text[position:end])


def _escaped(text: str) -> str:
    return _WHITESPACE.sub(" ", escape(text))
