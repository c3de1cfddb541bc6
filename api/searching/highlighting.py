"""Finds what a query matched in the documents of a page, by the rules of the methods that found them.

A search engine's own highlighter analyses whole documents, which costs more than the search. Here the terms' first
letters are looked for in a bounded part of the text, and only the words around them are analysed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Final, Protocol

import structlog

from api.searching.snippet import MAX_MATCHES, Match
from indexer.errors import InvalidQuery
from indexer.memo import Memo

SCAN_CHARACTERS: Final = 131_072
"""How much of a document is looked through."""

ANALYSED_CHARACTERS: Final = 2_048
"""How much is analysed of a text in which no term's first letters are found: a term may be written quite otherwise."""

MAX_TERMS: Final = 32
_MAX_WORD: Final = 128
_SHORTEST_STEM: Final = 3
_WORD: Final = re.compile(rf"\w{{1,{_MAX_WORD}}}")

_WORD_METHODS: Final = frozenset({"bm25", "tantivy", "semantic"})
_PATTERN_METHOD: Final = "native"

_log = structlog.stdlib.get_logger(__name__)


class Token(Protocol):
    """A term and the characters it came from."""

    @property
    def term(self) -> str:
        """What the index holds."""
        ...

    @property
    def start(self) -> int:
        """Of its first character."""
        ...

    @property
    def end(self) -> int:
        """Behind its last one."""
        ...


class Pattern(Protocol):
    """A compiled query of the `native` method."""

    def spans(self, text: str, limit: int) -> Sequence[tuple[int, int]]:
        """Where it matches, as (start, end), at most `limit` of them."""
        ...


Analyze = Callable[[str], Iterable[Token]]
CompilePattern = Callable[[str], Pattern]


class QueryHighlighter:
    """Finds the matches of one query.

    Args:
        query: as the client wrote it.
        analyze: text to terms.
        compile_pattern: query of the `native` method to pattern.
    """

    def __init__(self, query: str, analyze: Analyze, compile_pattern: CompilePattern) -> None:
        self._query = query
        self._analyze = analyze
        self._compile_pattern = compile_pattern

    def matches(self, text: str, methods: Iterable[str]) -> list[Match]:
        """Where the query matches a text.

        Args:
            text: of the document.
            methods: those that found it.
        """
        scanned = text[:SCAN_CHARACTERS]
        asked = set(methods)
        found: list[Match] = []
        if _PATTERN_METHOD in asked and self._pattern is not None:
            found += [Match(start, end, self._query) for start, end in self._pattern.spans(scanned, MAX_MATCHES)]
        if asked & _WORD_METHODS:
            found += self._word_matches(scanned)
        return found

    @cached_property
    def _terms(self) -> frozenset[str]:
        unique = dict.fromkeys(token.term for token in self._analyze(self._query))
        return frozenset(list(unique)[:MAX_TERMS])

    @cached_property
    def _asked_in(self) -> Memo[Sequence[tuple[int, int, str]]]:
        """Where terms of the query are in a word; few words come again and again on a page."""
        # No method of ours: a circle would leave each query to a full collection.
        return Memo(partial(_asked, self._analyze, self._terms))

    @cached_property
    def _pattern(self) -> Pattern | None:
        try:
            return self._compile_pattern(self._query)
        except InvalidQuery as exc:
            _log.debug("no pattern to highlight", error=str(exc))
            return None

    def _word_matches(self, text: str) -> list[Match]:
        if not self._terms:
            return []
        words = sorted(set(self._candidate_words(text))) or [(0, min(len(text), ANALYSED_CHARACTERS))]
        return [
            Match(start + first, start + last, term)
            for start, end in words
            for first, last, term in self._asked_in[text[start:end]]
        ]

    def _candidate_words(self, text: str) -> Iterator[tuple[int, int]]:
        """Words that contain the first letters of a term; a stem may differ from its words in the last letter."""
        lowered = text.lower()
        if len(lowered) != len(text):  # some letters become two, and then the offsets would be wrong
            lowered = text
        each = MAX_MATCHES // len(self._terms) + 1
        for term in self._terms:
            letters = term[: max(_SHORTEST_STEM, len(term) - 1)].lower()
            position = lowered.find(letters)
            for _ in range(each):
                if position < 0:
                    break
                start, end = _word_around(text, position)
                yield start, end
                position = lowered.find(letters, max(end, position + 1))


def _asked(analyze: Analyze, terms: frozenset[str], text: str) -> Sequence[tuple[int, int, str]]:
    return [(token.start, token.end, token.term) for token in analyze(text) if token.term in terms]


def _word_around(text: str, position: int) -> tuple[int, int]:
    before = text[max(0, position - _MAX_WORD) : position][::-1]
    return position - _word_length(before, 0), position + max(1, _word_length(text, position))


def _word_length(text: str, start: int) -> int:
    word = _WORD.match(text, start)
    return 0 if word is None else word.end() - start
