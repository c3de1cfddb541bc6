from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.semantic.passages import MAX_TITLE_TOKENS, Passage, PassageSettings, split, words

SMALL = PassageSettings(tokens=12, overlap=3)


def one_each(_: str) -> int:
    """A model with one token for every word."""
    return 1


def cut(body: str, *, title: str = "", settings: PassageSettings = SMALL) -> list[Passage]:
    """Split with two marks, as most models have."""
    return split(title, body, one_each, settings, reserved=2)


def test_a_short_document_is_one_passage() -> None:
    """What fits stays whole, without the white space around it."""
    assert cut("  one two three \n") == [Passage("one two three", 2, 15)]


def test_passages_overlap() -> None:
    """Each passage has as many tokens as fit, and the next one begins a little before its end."""
    body = " ".join(f"w{n}" for n in range(24))
    assert [passage.text.split() for passage in cut(body)] == [
        [f"w{n}" for n in range(10)],
        [f"w{n}" for n in range(7, 17)],
        [f"w{n}" for n in range(14, 24)],
    ]


def test_the_title_goes_with_every_passage() -> None:
    """It takes its share of the tokens, and the places are those in the body."""
    passages = cut(" ".join(f"w{n}" for n in range(12)), title="On words")
    assert all(passage.text.startswith("On words\nw") for passage in passages)
    assert [(p.start, p.end) for p in passages] == [(0, 23), (15, 37)]


def test_a_long_title_has_passages_of_its_own() -> None:
    """All of it can be found, and its beginning still goes with the body."""
    title = " ".join(f"t{n}" for n in range(40))
    passages = cut("body", title=title, settings=PassageSettings(tokens=50, overlap=3))
    assert passages[0] == Passage(title, 0, 0)
    assert passages[-1].text == " ".join(f"t{n}" for n in range(MAX_TITLE_TOKENS)) + "\nbody"


def test_words_without_spaces_are_sliced() -> None:
    """A script without spaces, or a wall of letters, is cut where it must be."""
    passages = cut("語" * 1_000)
    assert len(passages) > 5
    assert passages[-1].end == 1_000
    assert max(len(word) for word in words("語" * 1_000)) <= 16


def test_a_token_heavy_word_still_gets_a_passage() -> None:
    """A word with more tokens than there is room stands alone; nothing is dropped."""
    passages = split("", "a heavy b", lambda word: 50 if word == "heavy" else 1, SMALL, reserved=2)
    assert [passage.text for passage in passages] == ["a", "heavy", "b"]


@given(st.text(max_size=400), st.text(max_size=40), st.integers(4, 20), st.integers(0, 10))
def test_no_word_is_lost(body: str, title: str, room: int, overlap: int) -> None:
    """Every character but white space is in a passage, places tell the truth, and passages go forward."""
    counts = {word: 1 + len(word) % 3 for word in words(title) | words(body)}
    settings = PassageSettings(tokens=room + MAX_TITLE_TOKENS + 2, overlap=overlap)
    passages = split(title, body, counts.__getitem__, settings, reserved=2)
    covered = set()
    for passage in passages:
        covered |= set(range(passage.start, passage.end))
        assert passage.text.endswith(body[passage.start : passage.end])
    assert all(at in covered for at, character in enumerate(body) if not character.isspace())
    of_body = [passage for passage in passages if passage.end]
    assert all(one.start < other.start and one.end < other.end for one, other in pairwise(of_body))


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_blank_text_has_no_passages(text: str) -> None:
    """There is nothing to embed."""
    assert cut(text) == []
