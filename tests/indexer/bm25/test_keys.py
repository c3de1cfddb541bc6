"""The keys of terms are BLAKE2b's digests, however many are made at once."""

from hashlib import blake2b

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexer.bm25.blake2b import SEPARATOR, blake2b_each
from indexer.bm25.keys import KEY_BYTES, encoded_keys, keys_of_all, term_keys

TEXTS = st.lists(st.binary(max_size=300).map(lambda text: text.replace(SEPARATOR, b"")), max_size=20)
TERMS = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=100), max_size=20)


def digest(text: bytes) -> int:
    """What hashlib says."""
    return int.from_bytes(blake2b(text, digest_size=KEY_BYTES).digest(), "little")


@given(texts=TEXTS)
@example(texts=[b"x" * size for size in (0, 1, 7, 8, 9, 127, 128, 129, 255, 256, 257, 1024, 0)])
def test_many_digests_are_those_of_each(texts: list[bytes]) -> None:
    """Texts of any length, beside any others, have the digests that hashlib gives them."""
    joined = b"".join(text + SEPARATOR for text in texts)
    assert blake2b_each(joined, len(texts)).tolist() == [digest(text) for text in texts]


@pytest.mark.parametrize(("text", "count"), [(b"a\nb\n", 1), (b"a\n", 2), (b"a", 1), (b"a\nb", 1), (b"", 1)])
def test_texts_that_are_not_as_many_as_said_are_refused(text: bytes, count: int) -> None:
    """A text with a separator in it would shift the digests of all behind it."""
    with pytest.raises(ValueError, match="texts were to be hashed"):
        blake2b_each(text, count)


@given(terms=TERMS)
@example(terms=["", "foo", "", "日本", "a" * 256, "é" * 256])
def test_the_terms_of_a_query_have_the_keys_that_a_segment_gave_them(terms: list[str]) -> None:
    """What is indexed is found."""
    keys = [digest(term.encode()) for term in terms]
    assert keys_of_all(terms).tolist() == keys
    assert term_keys(terms).tolist() == keys
    assert encoded_keys(terms) == b"".join(key.to_bytes(KEY_BYTES, "little") for key in keys)


def test_a_line_break_in_a_term_is_refused() -> None:
    """No analyzer makes such a term."""
    with pytest.raises(ValueError, match="2 texts were to be hashed, and 3 are here"):
        keys_of_all(["a\nb", "c"])
