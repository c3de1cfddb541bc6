"""Positions that only move forward, and the tokens that wait for them."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import InvalidToken
from streams.watermark import MAX_TOKEN_CHARACTERS, Token, Watermark

OFFSETS = st.dictionaries(st.integers(0, 5), st.integers(0, 2**63))


def opaque(text: bytes) -> str:
    """What a forger would make of these bytes."""
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@settings(deadline=None)
@given(OFFSETS, OFFSETS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_watermark_never_moves_back(before: dict[int, int], step: dict[int, int], earlier: int, later: int) -> None:
    """Every partition, and the time of the newest record, is the larger of both."""
    moved = Watermark(offsets=before, timestamp_ms=earlier).advanced(step, timestamp_ms=later)
    assert moved.offsets == {p: max(before.get(p, 0), step.get(p, 0)) for p in before.keys() | step.keys()}
    assert moved.timestamp_ms == max(earlier, later)


def test_advancing_leaves_the_original_alone() -> None:
    """A watermark is a value: a batch that fails must not have moved it."""
    original = Watermark(offsets={0: 1})
    original.advanced({0: 5, 1: 2})
    assert original.offsets == {0: 1}


def test_a_watermark_of_some_partitions() -> None:
    """An indexer that shares its index speaks for its own partitions only."""
    assert Watermark(cluster="c", offsets={0: 1, 1: 2, 2: 3}).restricted([0, 2, 7]) == Watermark(
        cluster="c", offsets={0: 1, 2: 3}
    )


def test_a_token_is_reached_when_every_partition_is() -> None:
    """One partition behind is behind; a partition never read counts as nothing read."""
    token = Token(offsets={0: 5, 1: 2})
    assert Watermark(offsets={0: 5, 1: 3, 2: 9}).reached(token)
    assert not Watermark(offsets={0: 4, 1: 3}).reached(token)
    assert not Watermark(offsets={0: 5}).reached(token)


def test_a_token_of_another_topic_is_never_reached() -> None:
    """Offsets of one topic say nothing about another."""
    assert not Watermark(topic="documents", offsets={0: 9}).reached(Token(topic="other", offsets={0: 1}))


def test_a_token_of_nothing_is_reached_at_once() -> None:
    """Publishing nothing leaves nothing to wait for."""
    assert Watermark().reached(Token())


def test_a_token_covers_the_records_it_includes() -> None:
    """It asks for the offset behind the last record, in whatever order acknowledgements come."""
    token = Token("t").including(0, 7).including(1, 0).including(0, 3)
    assert token.offsets == {0: 8, 1: 1}


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), OFFSETS)
def test_a_token_survives_its_text(topic: str, offsets: dict[int, int]) -> None:
    """What a client hands back is what it was given, safe in a URL."""
    text = Token(topic, offsets).encode()
    assert Token.decode(text) == Token(topic, offsets)
    assert not set(text) & set("+/=&?#% ")


@settings(deadline=None)
@given(st.text(max_size=100) | st.binary(max_size=60).map(opaque))
def test_garbage_is_an_invalid_token_and_nothing_else(text: str) -> None:
    """A client can send anything, and only ever gets one kind of error."""
    try:
        Token.decode(text)
    except InvalidToken as exc:
        assert "token" in str(exc)  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "=",
        "é",
        "�",
        "x" * (MAX_TOKEN_CHARACTERS + 1),
        opaque(b'{"a":' + b"[" * 12000),
        opaque(b"[]"),
        opaque(b'{"offsets":{"0":-4}}'),
        opaque(b'{"offsets":{"-1":4}}'),
        opaque(b'{"offsets":{"0":"4"}}'),
        opaque(b'{"topic":"\xff"}'),
        opaque(b'{"topic":5}'),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_what_we_did_not_issue_is_refused(text: str) -> None:
    """Broken base64, endless nesting, negative offsets and wrong types are all `InvalidToken`."""
    with pytest.raises(InvalidToken):
        Token.decode(text)


def test_the_public_form_is_json() -> None:
    """Answers show the watermark by topic and partition."""
    assert Watermark(offsets={1: 2, 0: 1234}).public() == {"documents": {"0": 1234, "1": 2}}
