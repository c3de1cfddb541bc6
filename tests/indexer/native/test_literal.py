"""The compiled scan for literals finds what RE2 finds."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.native.literal import Needle, tally_literal
from tests.indexer.native.tallying import Tally, as_texts, line_of, tally

_TEXTS = st.text(alphabet="aAbB_1 é漢\n", max_size=300)
_LITERALS = st.text(alphabet="aAbB_1 漢\n", min_size=1, max_size=4)
_OUTSIDE_WORDS = b"\t\n -"


def _expected(literal: bytes, text: bytes, *, ignoring_case: bool, window: int, limit: int) -> Tally:
    sought, searched = (literal.lower(), text.lower()) if ignoring_case else (literal, text)
    starts = [match.start() for match in re.finditer(rb"(?=%s)" % re.escape(sought), searched)]
    edges = [(start, text[start - 1 : start], text[start + len(literal) :][:1]) for start in starts]
    whole_words = {line_of(text, start) for start, *around in edges if all(each in _OUTSIDE_WORDS for each in around)}
    lines = dict.fromkeys(line_of(text, start) for start in starts)
    return tally(lines, whole_words, window=window, limit=limit)


def _tallied(texts: list[bytes], needle: Needle, *, window: int = 1_000, limit: int = 16) -> list[Tally]:
    ordinals = np.arange(len(texts), dtype=np.uint32)
    tallies = tally_literal(as_texts(texts), ordinals, needle, window=window, limit=limit)
    return list(zip(tallies.places.tolist(), tallies.counts.tolist(), tallies.words.tolist(), strict=True))


@given(
    texts=st.lists(_TEXTS, min_size=1, max_size=5),
    literal=_LITERALS,
    ignoring_case=st.booleans(),
    window=st.integers(1, 100),
    limit=st.integers(1, 4),
)
@settings(max_examples=600, deadline=None)
def test_lines_are_those_of_a_plain_search(
    texts: list[str], literal: str, *, ignoring_case: bool, window: int, limit: int
) -> None:
    """First line, lines near it and those with whole words, in documents that lie one after another."""
    encoded = [text.encode() for text in texts]
    needle = Needle.ignoring_case(literal) if ignoring_case else Needle.exact(literal)
    assert needle is not None
    assert _tallied(encoded, needle, window=window, limit=limit) == [
        _expected(literal.encode(), text, ignoring_case=ignoring_case, window=window, limit=limit) for text in encoded
    ]


@pytest.mark.parametrize("place", [0, 1, 63, 64, 127, 128, 129, 255, 256, 390, 397])
def test_matches_at_the_edges_of_blocks(place: int) -> None:
    """A match is found wherever it lies in the blocks of 128 positions, and at the end of the text."""
    text = b"\n" * place + b"xyz" + b"." * (397 - place)
    assert _tallied([text], Needle.exact("xyz")) == [(place, 1, 1)]


def test_texts_shorter_than_the_literal() -> None:
    """Nothing is read beyond a text, not even where the next one would complete the match."""
    tallies = _tallied([b"", b"ne", b"edle", b"needle"], Needle.exact("needle"))
    assert tallies == [(-1, 0, 0), (-1, 0, 0), (-1, 0, 0), (0, 1, 1)]


def test_a_line_that_begins_in_reach_counts() -> None:
    """A match may be further away than the window reaches, in a line that begins within it; and no match behind it."""
    text = b"xyz\n" + b"." * 1_000 + b"xyz\nxyz\n"
    assert [_tallied([text], Needle.exact("xyz"), window=window)[0][1] for window in (4, 5, 1_006, 1_008, 1_009)] == [
        1,
        2,
        2,
        2,
        3,
    ]


def test_letters_with_other_forms() -> None:
    """Letters beyond ASCII are left to RE2, and `k` and `s` are in texts that hold their other forms."""
    assert Needle.ignoring_case("é") is None
    assert Needle.ignoring_case("ſ") is None
    needles = [Needle.ignoring_case(each) for each in ("K", "s", "abc漢")]
    assert [needle and needle.foreign_forms for needle in needles] == [True, True, False]
    assert not Needle.exact("ks").foreign_forms
