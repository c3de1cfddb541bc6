"""How a query to the native method is read, and where it matches."""

import pytest

from indexer.errors import InvalidQuery
from indexer.native import compile_pattern


def _found(query: str, text: str) -> list[str]:
    return [text[start:end] for start, end in compile_pattern(query).spans(text, 10)]


@pytest.mark.parametrize(
    ("query", "text", "matches"),
    [
        ("needle", "a Needle, a NEEDLE", ["Needle", "NEEDLE"]),
        ("Needle", "a Needle, a NEEDLE", ["Needle"]),
        ("a.b(", "axb( a.b(", ["a.b("]),
        ("straße", "Straße STRAẞE STRASSE", ["Straße", "STRAẞE"]),
        ("k", "k K \u212a", ["k", "K", "\u212a"]),
        ("Über", "über Über", ["Über"]),
        ("two\nlines", "two\nlines", ["two\nlines"]),
        ("/n.+e/", "needle\nnext one", ["needle", "next one"]),
        ("/N.+E/", "needle", []),
        ("/N.+E/i", "needle", ["needle"]),
        ("/^b$/", "a\nb\nc", ["b"]),
        ("/a.b/", "a\nb", []),
        ("/a.b/s", "a\nb", ["a\nb"]),
        ("/A.b/is", "a\nb", ["a\nb"]),
        ("/a\\sb/", "a\nb a b", ["a b"]),
        ("/[^x]+/", "ab\ncd", ["ab", "cd"]),
        ("/a|b/", "ab", ["a", "b"]),
        ("/usr/bin", "in /usr/bin/env", ["/usr/bin"]),
        ("/etc", "/etc/hosts", ["/etc"]),
        ("/a/b/", "x a/b y", ["a/b"]),
        ("/x*/", "ab x", ["x"]),
        ("🏳️", "é 🏳️ é", ["🏳️"]),
        ("\0", "a\0b", ["\0"]),
    ],
)
def test_spans(query: str, text: str, matches: list[str]) -> None:
    """Literals with smart case, regexes by line; spans are in characters, and empty matches are not shown."""
    assert _found(query, text) == matches


def test_spans_are_limited() -> None:
    """No more spans than asked for, however often a pattern matches."""
    assert compile_pattern("a").spans("a" * 100_000, 3) == [(0, 1), (1, 2), (2, 3)]
    assert compile_pattern("/x*/").spans("a" * 1_000_000, 3) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("//", "empty"),
        ("/(/", "missing \\)"),
        ("/a**/", "bad repetition"),
        ("/(?=a)/", "invalid perl operator|perl"),
        ("/\\1/", "invalid escape"),
        ("/(a{1000}){1000}/", "repetition size"),
        ("/(\\pL{50}){20}/", "too large"),
        ("/\\pL{30}/", "too large"),
        ("/" + "a|" * 600 + "/", "at most 1024 characters"),
        ("a" * 4_097, "4096 characters"),
        ("\ud800", "lone surrogate"),
        ("/\ud800/", "lone surrogate"),
    ],
)
def test_invalid_queries(query: str, message: str) -> None:
    """What cannot be searched for is refused with what is wrong with it."""
    with pytest.raises(InvalidQuery, match=message):
        compile_pattern(query)


def test_long_literals() -> None:
    """A literal of any allowed length is searched for, in any case and script."""
    literal = "ſkя🏳" * 1_024
    assert compile_pattern(literal).spans(literal.upper() + literal, 10) == [(0, 4_096), (4_096, 8_192)]


def test_mistaken_flags_are_told() -> None:
    """What looks like a regex but is read as a literal says so."""
    assert "'bin'" in compile_pattern("/usr/bin").detail
    assert compile_pattern("/usr/").detail == ""


def test_hostile_patterns_are_quick() -> None:
    """Patterns that take others exponential time take RE2 none to speak of."""
    text = "a" * 50_000 + "!"
    for query in ("/(a+)+$/", "/(a|aa)+$/", "/(a*)*b/", "/(.*)(.*)(.*)(.*)b/"):
        compile_pattern(query).spans(text, 10)
