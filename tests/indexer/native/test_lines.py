"""The compiled walk finds the lines that RE2 finds."""

import time

import numpy as np
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.native.lines import LinePattern, compile_lines, tally_lines
from indexer.native.literal import Needle
from indexer.native.needles import Needles
from tests.indexer.native.tallying import Tally, as_texts, lines_of, tally

_PIECES = st.sampled_from(
    [
        r"a",
        r"b",
        r"B",
        r"_",
        r"1",
        r"é",
        r"漢",
        r".",
        r"\.",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"[ab]",
        r"[^a]",
        r"[^\d]",
        r"[a-b1]",
        r"[]a]",
        r"[^]é]",
        r"[b-]",
        r"^",
        r"$",
        r"\b",
        r"\B",
        r"\t",
        " ",
        "\n",
        "\\x61",
        "[[:alpha:]]",
        "(?i)",
        "\\Qa.\\E",
    ]
)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.builds("({})".format, inner)
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{1,3}", "+?", "*?"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("{}{}".format, groups, repeats),
    )


_REGEXES = st.recursive(_PIECES, _combined, max_leaves=8)
_WITH_ANCHORED = st.one_of(
    _REGEXES, st.builds("^{}".format, _REGEXES), st.builds("^{}|^{}$".format, _REGEXES, _REGEXES)
)
_TEXTS = st.text(alphabet="aAbB_1. \t\n\r\0é漢🏳", max_size=40)


def _re2(regex: str, *, ignoring_case: bool) -> "re2._Regexp":  # the type that `re2.compile` returns
    options = re2.Options()
    options.case_sensitive = not ignoring_case
    options.never_nl = True
    options.log_errors = False
    return re2.compile(f"(?m){regex}", options)


def _expected(regex: str, text: bytes, *, ignoring_case: bool, window: int, limit: int) -> Tally:
    outside = r"[^\w\x{80}-\x{10FFFF}]"
    compiled = _re2(regex, ignoring_case=ignoring_case)
    whole = _re2(f"(?:^|{outside})(?:{regex})(?:$|{outside})", ignoring_case=ignoring_case)
    lines = [start for start, line in lines_of(text) if compiled.search(line)]
    return tally(lines, {start for start, line in lines_of(text) if whole.search(line)}, window=window, limit=limit)


def _tallied(
    texts: list[bytes], pattern: LinePattern, needles: Needles | None, *, window: int = 4_096, limit: int = 16
) -> list[Tally]:
    ordinals = np.arange(len(texts), dtype=np.uint32)
    tallies = tally_lines(as_texts(texts), ordinals, pattern, needles, window=window, limit=limit)
    return list(zip(tallies.places.tolist(), tallies.counts.tolist(), tallies.words.tolist(), strict=True))


def _compiled(regex: str) -> LinePattern:
    pattern = compile_lines(regex, ignoring_case=False)
    assert pattern is not None
    return pattern


@given(
    regex=_WITH_ANCHORED,
    texts=st.lists(_TEXTS, min_size=1, max_size=6),
    ignoring_case=st.booleans(),
    window=st.integers(1, 40),
    limit=st.integers(1, 4),
)
@settings(max_examples=2_000, deadline=None)
def test_lines_are_those_of_re2(regex: str, texts: list[str], *, ignoring_case: bool, window: int, limit: int) -> None:
    """Whatever has automata: the first line with a match, or none, lines near it, and whole words in these."""
    pattern = compile_lines(regex, ignoring_case=ignoring_case)
    if pattern is None:
        return
    encoded = [text.encode() for text in texts]
    assert _tallied(encoded, pattern, None, window=window, limit=limit) == [
        _expected(regex, text, ignoring_case=ignoring_case, window=window, limit=limit) for text in encoded
    ]


@given(
    before=_REGEXES,
    after=_REGEXES,
    texts=st.lists(_TEXTS, min_size=1, max_size=6),
    window=st.integers(1, 40),
    limit=st.integers(1, 4),
)
@settings(max_examples=1_000, deadline=None)
def test_lines_with_a_literal_are_those_of_re2(
    before: str, after: str, texts: list[str], window: int, limit: int
) -> None:
    """Walking through lines with one of some required literals only changes nothing."""
    regex = f"(?:{before})(?:bB|a_|b1 a)(?:{after})"
    pattern = compile_lines(regex, ignoring_case=False)
    if pattern is None:
        return
    needles = Needles.of([Needle.exact(each) for each in ("bB", "a_", "b1 a")])
    encoded = [text.replace("B", "bB").encode() for text in texts]
    assert _tallied(encoded, pattern, needles, window=window, limit=limit) == [
        _expected(regex, text, ignoring_case=False, window=window, limit=limit) for text in encoded
    ]


@pytest.mark.parametrize("place", [0, 63, 64, 2_047, 2_048, 2_049, 4_090, 5_000])
@pytest.mark.parametrize("literal", ["abc", "xyz", "longer ones"])
def test_literals_far_into_a_text(place: int, literal: str) -> None:
    """Each of several literals is found wherever it is, also across the parts in which a text is gone through."""
    text = b"\n" * place + literal.encode() + b"\n" * (5_001 - place) + b"abc\n"
    needles = Needles.of([Needle.exact(each) for each in ("abc", "longer ones", "xyz")])
    pattern = _compiled("abc|longer ones|xyz")
    assert _tallied([text, text], pattern, needles, window=10_000) == [(place, 2, 2)] * 2


@given(regex=_WITH_ANCHORED, texts=st.lists(_TEXTS, min_size=1, max_size=6), ignoring_case=st.booleans())
@settings(max_examples=1_000, deadline=None)
def test_every_match_holds_required_literals(regex: str, texts: list[str], *, ignoring_case: bool) -> None:
    """One of each set, whatever RE2 finds."""
    with_literals = f"(?:ab|B_a){{1,2}}(?:{regex})a1a"
    pattern = compile_lines(with_literals, ignoring_case=ignoring_case)
    if pattern is None:
        return
    compiled = _re2(with_literals, ignoring_case=ignoring_case)
    for text in texts:
        for match in compiled.finditer(text.replace("a", "aba1a").replace("B", "B_a").encode()):
            assert all(any(_holds(match[0], needle) for needle in choice) for choice in pattern.required)


def _holds(match: bytes, needle: Needle) -> bool:
    data, size = np.frombuffer(match, np.uint8), len(needle.values)
    return any(((data[at : at + size] | needle.masks) == needle.values).all() for at in range(len(data) - size + 1))


@pytest.mark.parametrize(
    ("regex", "required"),
    [
        (r"TODO|FIXME|XXX", [{"TODO", "FIXME", "XXX"}]),
        (r"^#include <linux/[a-z_]+\.h>$", [{"#include <linux/"}, {".h>"}]),
        (r"https?://[a-z.]+/", [{"http://", "https://"}]),
        (r"^(static|extern) int [a-z_]+\(", [{"static int ", "extern int "}]),
        (r"(alloc|free)_(page|pages)\b", [{"alloc_page", "free_page"}]),
        (r"(foo\d+|bar\w)x", [{"foo", "bar"}]),
        (r"[ab]cde?", [{"acd", "bcd"}]),
        (r"(abc)+\d", [{"abc"}]),
        (r"a+bc|xyz", []),
        (r"abc|\d", []),
        (r"\bneedle\b", [{"needle"}]),
    ],
)
def test_required_literals(regex: str, required: list[set[str]]) -> None:
    """What must be there, of three bytes or more, with its case and without what holds another one."""
    found = [{needle.values.tobytes().decode() for needle in choice} for choice in _compiled(regex).required]
    assert found == required


@pytest.mark.parametrize(
    "regex",
    [
        r"TODO|FIXME|XXX",
        r"^#include <linux/[a-z_]+\.h>$",
        r"https?://[a-z.]+/",
        r"\bGPL-2\.0\b",
        r"Copyright \(C\) (19|20)\d\d",
        r'"[^"]*failed[^"]*"',
    ],
)
def test_what_people_look_for_has_an_automaton(regex: str) -> None:
    """Usual patterns of source code are small, and understood."""
    assert len(_compiled(regex).matches.table) < 1_000
    assert len(_compiled(regex).whole_words.table) < 1_500


@pytest.mark.parametrize(
    "regex", ["a*", "(?i)a", r"\Qa\E", "[[:alpha:]]", r"\pL", "[é]", "(a|b)*a(a|b){20}", "(.{30}){30}", "a{900}"]
)
def test_what_is_left_to_re2(regex: str) -> None:
    """Patterns that match nothing at all, are not understood, or would need large tables; told in no time."""
    began = time.thread_time()
    assert compile_lines(regex, ignoring_case=False) is None
    assert time.thread_time() - began < 1
