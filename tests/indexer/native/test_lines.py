"""The compiled walk finds the lines that RE2 finds."""

import time

import numpy as np
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.native.automaton import Automaton, compile_automaton
from indexer.native.lines import first_lines
from indexer.native.literal import Needle, Texts

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
_TEXTS = st.text(alphabet="aAbB_1. \t\n\r\0é漢🏳", max_size=40)


def _re2(regex: str, *, ignoring_case: bool) -> "re2._Regexp":  # the type that `re2.compile` returns
    options = re2.Options()
    options.case_sensitive = not ignoring_case
    options.never_nl = True
    options.log_errors = False
    return re2.compile(f"(?m){regex}", options)


def _line_of(compiled: "re2._Regexp", text: bytes) -> int:
    match = compiled.search(text)
    return -1 if match is None else text.rfind(b"\n", 0, match.start()) + 1


def _texts(texts: list[bytes]) -> Texts:
    starts = np.cumsum([0, *map(len, texts)]).astype(np.uint64)
    starts.setflags(write=False)  # as mapped files are
    return Texts(np.frombuffer(b"".join(texts), np.uint8), starts)


def _compiled(regex: str) -> Automaton:
    automaton = compile_automaton(regex, ignoring_case=False)
    assert automaton is not None
    return automaton


@given(regex=_REGEXES, texts=st.lists(_TEXTS, min_size=1, max_size=6), ignoring_case=st.booleans())
@settings(max_examples=2_000, deadline=None)
def test_lines_are_those_of_re2(regex: str, texts: list[str], *, ignoring_case: bool) -> None:
    """Whatever has an automaton: the first line with a match, or none, in each of several documents."""
    automaton = compile_automaton(regex, ignoring_case=ignoring_case)
    if automaton is None:
        return
    encoded = [text.encode() for text in texts]
    compiled = _re2(regex, ignoring_case=ignoring_case)
    found = first_lines(_texts(encoded), np.arange(len(texts), dtype=np.uint32), automaton, None)
    assert found.tolist() == [_line_of(compiled, text) for text in encoded]


@given(before=_REGEXES, after=_REGEXES, texts=st.lists(_TEXTS, min_size=1, max_size=6))
@settings(max_examples=1_000, deadline=None)
def test_lines_with_a_literal_are_those_of_re2(before: str, after: str, texts: list[str]) -> None:
    """Walking through lines with a required literal only changes nothing."""
    regex = f"(?:{before})bB(?:{after})"
    automaton = compile_automaton(regex, ignoring_case=False)
    if automaton is None:
        return
    encoded = [text.replace("B", "bB").encode() for text in texts]
    compiled = _re2(regex, ignoring_case=False)
    ordinals = np.arange(len(texts), dtype=np.uint32)
    found = first_lines(_texts(encoded), ordinals, automaton, Needle.exact("bB"))
    assert found.tolist() == [_line_of(compiled, text) for text in encoded]


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
    assert len(_compiled(regex).table) < 1_000


@pytest.mark.parametrize(
    "regex", ["a*", "(?i)a", r"\Qa\E", "[[:alpha:]]", r"\pL", "[é]", "(a|b)*a(a|b){20}", "(.{30}){30}", "a{900}"]
)
def test_what_is_left_to_re2(regex: str) -> None:
    """Patterns that match nothing at all, are not understood, or would need large tables; told in no time."""
    began = time.thread_time()
    assert compile_automaton(regex, ignoring_case=False) is None
    assert time.thread_time() - began < 1
