"""Snippets: short, safe, and around what matched."""

import html
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from api.searching.snippet import SNIPPET_CHARACTERS, Match, make_snippet

_TEXT = st.text(alphabet=st.sampled_from("ab<>&\"'/ \n…é\U0001f600mrk"), max_size=600)
_MATCHES = st.lists(st.builds(Match, st.integers(-5, 620), st.integers(-5, 620), st.sampled_from(["x", "y", "z"])))


def _plain(snippet: str) -> str:
    return html.unescape(snippet.replace("<mark>", "").replace("</mark>", ""))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_marks_what_matched() -> None:
    """The reader sees why the document was found."""
    assert make_snippet("a circuit breaker", [Match(2, 9)]) == "a <mark>circuit</mark> breaker"


def test_html_of_the_document_is_escaped() -> None:
    """A document cannot bring its own tags, not even the mark."""
    snippet = make_snippet("<script>alert(1)</script> <mark>x</mark>", [Match(8, 13)])
    assert snippet == "&lt;script&gt;<mark>alert</mark>(1)&lt;/script&gt; &lt;mark&gt;x&lt;/mark&gt;"


@given(_TEXT, _MATCHES, st.integers(0, 700), st.booleans())
def test_only_balanced_marks_are_tags(text: str, matches: list[Match], focus: int, highlight: bool) -> None:  # noqa: FBT001 - hypothesis passes by position
    """Whatever the text and the matches, nothing but <mark> pairs is markup."""
    snippet = make_snippet(text, matches, focus=focus, highlight=highlight)
    tags = re.findall(r"<[^>]*>?", snippet)
    assert tags == ["<mark>", "</mark>"] * (len(tags) // 2)
    assert '"' not in snippet
    assert "'" not in snippet
    assert highlight or not tags


@given(_TEXT, _MATCHES)
def test_a_snippet_is_a_bounded_part_of_the_text(text: str, matches: list[Match]) -> None:
    """It says nothing that the document does not say, and not much of it."""
    plain = _plain(make_snippet(text, matches))
    assert len(plain) <= SNIPPET_CHARACTERS + len("… " + " …")
    assert _squeezed(plain.strip("… ")) in _squeezed(text)


def test_prefers_the_passage_with_most_different_terms() -> None:
    """Two terms together say more than one term three times."""
    text = "alpha alpha alpha " + "filler " * 100 + "alpha beta " + "filler " * 100
    matches = [Match(found.start(), found.end(), found[0]) for found in re.finditer("alpha|beta", text)]
    snippet = make_snippet(text, matches)
    assert "<mark>alpha</mark> <mark>beta</mark>" in snippet
    assert snippet.startswith("… ")
    assert snippet.endswith(" …")


def test_without_matches_begins_at_the_focus() -> None:
    """A passage that matched by meaning is shown, though no word of it did."""
    text = "first " * 100 + "here it is " + "last " * 100
    assert make_snippet(text, [], focus=600).startswith("… here it is")


def test_overlapping_matches_become_one_mark() -> None:
    """Parts of an identifier do not nest marks."""
    assert make_snippet("parseHttp", [Match(0, 9), Match(5, 9)]) == "<mark>parseHttp</mark>"


def test_a_match_longer_than_the_snippet_is_cut() -> None:
    """A regex that matches everything still gives a snippet."""
    snippet = make_snippet("x" * 5_000, [Match(0, 5_000)])
    assert snippet.startswith("<mark>x")
    assert snippet.count("x") <= SNIPPET_CHARACTERS


def test_a_large_document_costs_little() -> None:
    """The cost does not grow with the document: a body of a mebibyte takes a few milliseconds at most."""
    text = "word " * 200_000
    matches = [Match(start, start + 4, "word") for start in range(0, 1_000, 5)]
    began = time.perf_counter()
    for _ in range(10):
        make_snippet(text, matches)
    assert time.perf_counter() - began < 0.5
