"""The compiled scan for literals finds what RE2 finds."""

from itertools import islice

import numpy as np
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.native.literal import Needle, Texts, count_matches, first_matches
from indexer.native.ranking import COUNTED_MATCHES, count_words

_TEXTS = st.text(alphabet="aAbB_1 é漢\n", max_size=300)
_LITERALS = st.text(alphabet="aAbB_1 漢\n", min_size=1, max_size=4)


def _spans(literal: str, text: bytes, *, ignoring_case: bool) -> list[tuple[int, int]]:
    options = re2.Options()
    options.literal = True
    options.case_sensitive = not ignoring_case
    return [match.span() for match in islice(re2.compile(literal, options).finditer(text), COUNTED_MATCHES)]


def _texts(texts: list[bytes]) -> Texts:
    starts = np.cumsum([0, *map(len, texts)]).astype(np.uint64)
    starts.setflags(write=False)  # as mapped files are
    return Texts(np.frombuffer(b"".join(texts), np.uint8), starts)


@given(texts=st.lists(_TEXTS, min_size=1, max_size=5), literal=_LITERALS, ignoring_case=st.booleans())
@settings(max_examples=400, deadline=None)
def test_matches_are_those_of_re2(texts: list[str], literal: str, *, ignoring_case: bool) -> None:
    """First match, count and matches of whole words, in documents that lie one after another."""
    encoded = [text.encode() for text in texts]
    needle = Needle.ignoring_case(literal) if ignoring_case else Needle.exact(literal)
    assert needle is not None
    ordinals = np.arange(len(texts), dtype=np.uint32)
    expected = [_spans(literal, text, ignoring_case=ignoring_case) for text in encoded]
    found = first_matches(_texts(encoded), ordinals, needle)
    assert found.tolist() == [spans[0][0] if spans else -1 for spans in expected]
    counts, words = count_matches(_texts(encoded), ordinals, needle, COUNTED_MATCHES)
    assert counts.tolist() == [len(spans) for spans in expected]
    assert words.tolist() == [
        count_words(memoryview(text), spans) for text, spans in zip(encoded, expected, strict=True)
    ]


@pytest.mark.parametrize("place", [0, 1, 63, 64, 65, 127, 128, 190, 197])
def test_matches_at_the_edges_of_blocks(place: int) -> None:
    """A match is found wherever it lies in the blocks of 64 positions, and at the end of the text."""
    text = b"." * place + b"xyz" + b"." * (197 - place)
    assert first_matches(_texts([text]), np.zeros(1, np.uint32), Needle.exact("xyz")).tolist() == [place]


def test_texts_shorter_than_the_literal() -> None:
    """Nothing is read beyond a text, not even where the next one would complete the match."""
    texts = _texts([b"", b"ne", b"edle", b"needle"])
    found = first_matches(texts, np.arange(4, dtype=np.uint32), Needle.exact("needle"))
    assert found.tolist() == [-1, -1, -1, 0]


def test_letters_with_other_forms() -> None:
    """Letters beyond ASCII are left to RE2, and `k` and `s` are in texts that hold their other forms."""
    assert Needle.ignoring_case("é") is None
    assert Needle.ignoring_case("ſ") is None
    needles = [Needle.ignoring_case(each) for each in ("K", "s", "abc漢")]
    assert [needle and needle.foreign_forms for needle in needles] == [True, True, False]
    assert not Needle.exact("ks").foreign_forms
