"""The analyzers: words, identifiers and CJK text to terms, each with the characters it came from.

A term is made of a run of letters, digits, underscores and marks (see `indexer.analysis.runs`):

1. An identifier of several parts gives itself whole, and each part: `getHTTPResponse_code2` gives
   `gethttpresponse_code2`, `get`, `http`, `response`, `code`, `2`.
2. CJK text gives overlapping pairs of characters (as Lucene's CJKBigramFilter does), a single character itself.
3. Spelling is folded: NFKC, case folding (Unicode 3.13, D145 and UAX 15), and the accents of Latin, Greek and Cyrillic
   letters are dropped; vowel signs of other scripts are letters to their readers and stay.
4. Stop words are left out and words stemmed, or not (see `indexer.analysis.languages`). Whole identifiers are stemmed
   too, so that `openBreaker` is found when it is written in lower case.

Runs beyond `MAX_RUN_CHARACTERS` are data, not language, and give no term, unless they are CJK.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from indexer.analysis.runs import parts, run_pattern, scripts
from indexer.memo import Memo

MAX_RUN_CHARACTERS: Final = 256

Expansion = tuple[tuple[str, int, int], ...]


class Token(NamedTuple):
    """A term and the characters of the text that gave it, as text[start:end]."""

    term: str
    start: int
    end: int


class Analyzer:
    """Turns text into terms; safe for any number of threads. Get one by name from `get_analyzer`.

    Args:
        name: of the analyzer, as generations keep it.
        word: makes the term, without accents, of a word in folded case; an empty string for a word that gives none.
        ascii_words: makes the same of many words at once, which are ASCII: in a third of the time.

    Attributes:
        name: as given.
        word: as given.
        ascii_words: as given.
    """

    def __init__(
        self, name: str, word: Callable[[str], str], ascii_words: Callable[[Sequence[str]], Sequence[str]]
    ) -> None:
        self.name = name
        self.word = word
        self.ascii_words = ascii_words
        self._expansions = Memo(self._expand)
        self._terms = Memo(self._terms_of)

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as often as they occur."""
        runs: list[str] = run_pattern(text).findall(text)
        return list(chain.from_iterable(map(self._terms.__getitem__, runs)))

    def tokens(self, text: str) -> Iterator[Token]:
        """The terms of a text with their places, ordered by start; an identifier comes before its parts."""
        for match in run_pattern(text).finditer(text):
            start = match.start()
            for term, first, last in self._expansions[match[0]]:
                yield Token(term, start + first, start + last)

    def _terms_of(self, run: str) -> tuple[str, ...]:
        if run.isascii() and run.isalpha() and run.islower():  # most of all text, and one part
            term = self.word(run) if len(run) <= MAX_RUN_CHARACTERS else ""
            return (term,) if term else ()
        return tuple(term for term, _, _ in self._expand(run))

    def _expand(self, run: str) -> Expansion:
        if run.isascii():
            return tuple(self._word_terms(run, 0))
        found: list[tuple[str, int, int]] = []
        for start, end, cjk in scripts(run):
            piece = run[start:end]
            found.extend(_pairs(piece, start) if cjk else self._word_terms(piece, start))
        return tuple(found)

    def _word_terms(self, run: str, start: int) -> Iterator[tuple[str, int, int]]:
        if len(run) > MAX_RUN_CHARACTERS:
            return
        places = parts(run)
        if len(places) != 1 and (whole := self.word(fold_case(run).strip("_"))):
            yield whole, start, start + len(run)
        for first, last in places:
            if term := self.word(fold_case(run[first:last])):
                yield term, start + first, start + last


def fold_case(word: str) -> str:
    """One spelling for all that differ in case or compatibility forms only."""
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())


def drop_accents(word: str) -> str:
    """One spelling for all that differ in accents only."""
    if word.isascii():
        return word
    bare = "".join(c for c in unicodedata.normalize("NFD", word) if not _is_accent(c))
    return unicodedata.normalize("NFC", bare)


def _is_accent(character: str) -> bool:
    """Whether it is one of the combining diacritical marks, which Latin, Greek and Cyrillic letters take."""
    return "\u0300" <= character <= "\u036f" or "\u1ab0" <= character <= "\u1aff" or "\u1dc0" <= character <= "\u1dff"


def _pairs(run: str, start: int) -> Iterator[tuple[str, int, int]]:
    if len(run) == 1:
        yield drop_accents(fold_case(run)), start, start + 1
    for place in range(len(run) - 1):
        yield drop_accents(fold_case(run[place : place + 2])), start + place, start + place + 2
