"""Highlighting: what a query matched, by the rules of the methods that found the document."""

import time

import pytest

from api.process.worker import make_highlighters
from api.searching.highlighting import SCAN_CHARACTERS
from streams.settings import Settings
from tests.api.application import highlighter


def _marked(query: str, text: str, *methods: str) -> set[str]:
    return {text[match.start : match.end] for match in highlighter(query).matches(text, methods)}


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("breaker", "Circuit breakers break circuits", {"breakers"}),
        ("running", "she runs, he ran, they were running", {"runs", "running"}),
        ("http response", "def getHTTPResponse(self)", {"HTTP", "Response"}),
        ("getHTTPResponse", "calls getHTTPResponse twice", {"getHTTPResponse", "get", "HTTP", "Response"}),
        ("cafe", "the Café is open", {"Café"}),
        ("the of", "the end of it", set()),
    ],
)
def test_words_match_as_the_index_reads_them(query: str, text: str, marked: set[str]) -> None:
    """Inflected words, parts of identifiers and accents are matched as the analyzer does."""
    assert _marked(query, text, "bm25") == marked


def test_words_are_stemmed_as_the_settings_say() -> None:
    """An index with another stemmer finds other words, and those are marked."""
    german = make_highlighters(Settings(bm25_stemmer="german", bm25_stop_words="none"))("the Häuser")
    text = "the Hause of houses"
    assert {text[match.start : match.end] for match in german.matches(text, ["bm25"])} == {"the", "Hause"}


def test_native_marks_its_pattern() -> None:
    """A regex marks what it matches, not the words it is written with."""
    assert _marked("/b[a-z]+r/", "bar and beer but not Bear", "native") == {"bar", "beer"}


def test_a_pattern_that_does_not_compile_marks_nothing() -> None:
    """The search already said what is wrong with it."""
    assert _marked("/(/", "some text (", "native") == set()


def test_native_is_not_marked_by_words() -> None:
    """A document that only the literal search found is marked by the literal."""
    assert _marked("reak", "circuit breaker", "native") == {"reak"}


def test_letters_that_change_length_keep_offsets_right() -> None:
    """Lower-casing İ makes two letters of it; the marks must not shift."""
    assert _marked("breaker", "İ" * 20 + " a breaker", "bm25") == {"breaker"}


def test_only_a_bounded_part_is_looked_through() -> None:
    """What stands far behind is not worth the time."""
    assert _marked("breaker", "x" * SCAN_CHARACTERS + " breaker", "bm25", "native") == set()


def test_a_large_document_costs_little() -> None:
    """A mebibyte is looked through in a bounded part, and only the words around the terms are analysed."""
    text = "circuit breaker " * 65_536
    began = time.perf_counter()
    matches = highlighter("circuit breaker and others").matches(text, ["bm25", "native"])
    assert time.perf_counter() - began < 0.5
    assert all(match.end <= SCAN_CHARACTERS for match in matches)
