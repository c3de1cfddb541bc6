"""Bytes of the topic to changes: what a stranger may send, and what becomes of it."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.change import Delete, Position, Upsert
from streams.codec import MAX_JSON_OVERHEAD, decode_change, document_from_fields, encode_document, parse_document
from streams.document import Document, DocumentId, Scalar, check_document
from streams.errors import InvalidDocument, UndecodableRecord

AT = Position(partition=3, offset=41, timestamp_ms=1_700_000_000_000)

TEXT = st.text(max_size=40)
SCALARS: st.SearchStrategy[Scalar] = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
OFFSETS = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DOCUMENTS = st.builds(
    Document,
    id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=100),
    body=TEXT.filter(str.strip),
    title=TEXT,
    url=TEXT,
    source=TEXT,
    tags=st.lists(TEXT, max_size=5).map(tuple),
    language=st.text(max_size=35),
    published_at=st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS),  # noqa: DTZ001 - takes naive bounds
    metadata=st.dictionaries(
        TEXT, SCALARS.filter(lambda value: value not in (float("inf"), float("-inf"))), max_size=5
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(["id", "body", "title", "tags", "published_at", "metadata", "language", "extra"])


def decode(value: bytes | None, key: bytes | None = b"a") -> Upsert | Delete:
    """Decode a record read at `AT`."""
    return decode_change(key, value, AT)


def document(**fields: Any) -> Document:
    """Decode a record with these fields."""
    change = decode(json.dumps({"body": "x"} | fields).encode())
    assert isinstance(change, Upsert)
    return change.document


def refusal(value: bytes | None, key: bytes | None = b"a") -> UndecodableRecord:
    """The error of a record that must not decode."""
    with pytest.raises(UndecodableRecord) as refused:
        decode(value, key)
    return refused.value


@settings(deadline=None)
@given(DOCUMENTS)
def test_what_is_encoded_decodes_to_itself(original: Document) -> None:
    """Every valid document survives the topic, time zone included."""
    check_document(original)
    change = decode(encode_document(original), original.id.encode())
    assert change == Upsert(original, AT)
    if original.published_at is not None:
        assert isinstance(change, Upsert)
        assert change.document.published_at is not None
        assert change.document.published_at.utcoffset() == original.published_at.utcoffset()


@settings(deadline=None)
@given(st.binary(max_size=200), st.none() | st.binary(max_size=20))
def test_no_bytes_raise_anything_but_a_refusal(value: bytes, key: bytes | None) -> None:
    """Whatever a producer sends is a change or an `UndecodableRecord`."""
    try:
        decode(value, key)
    except UndecodableRecord as exc:
        assert exc.kind  # noqa: PT017 - both outcomes are right


@settings(deadline=None)
@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_no_json_raises_anything_but_a_refusal(fields: dict[str, Any]) -> None:
    """The same for well-formed JSON with any types in the known fields."""
    try:
        change = decode(json.dumps(fields).encode())
    except UndecodableRecord as exc:
        assert exc.kind in {"invalid-document", "key-mismatch", "not-json"}  # noqa: PT017 - both outcomes are right
    else:
        assert isinstance(change, Upsert)
        check_document(change.document)


def test_a_tombstone_deletes() -> None:
    """A null value is the deletion of the key's document."""
    assert decode(None, "é".encode()) == Delete(DocumentId("é"), AT)


def test_the_key_is_the_id_that_is_left_out() -> None:
    """A plain producer needs nothing but key and body."""
    assert document().id == "a"
    assert document(id="a") == document()


@pytest.mark.parametrize("claimed", ["b", "A", "a "])
def test_key_and_id_must_agree(claimed: str) -> None:
    """Another id than the key is refused: compaction goes by the key, indexes by the id."""
    assert refusal(json.dumps({"id": claimed, "body": "x"}).encode()).kind == "key-mismatch"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (None, "no-key"),
        (b"", "invalid-key"),
        (b"\xff", "invalid-key"),
        (b"a\x00b", "invalid-key"),
        (b"\xed\xa0\x80", "invalid-key"),
        (b"k" * 513, "invalid-key"),
    ],
)
def test_a_bad_key_is_refused(key: bytes | None, kind: str) -> None:
    """Without a usable key there is no document, even for a tombstone."""
    assert refusal(b'{"body":"x"}', key).kind == kind
    assert refusal(None, key).kind == kind


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"plain words",
        b"\xff\xfe{",
        b'{"body":"x"',
        b"[]",
        b'"x"',
        b"null",
        b"17",
        b'{"body":"x"} trailing',
        b'\xef\xbb\xbf{"body":"x"}',
        b'{"body":"x","n":NaN}',
        b'{"body":"x","n":Infinity}',
        b'{"body":"x","n":1e999}',
        b'{"body":"\xff"}',
        b'{"\xff":1,"body":"x"}',
        b'{"body":"\xed\xa0\x80"}',
        b'{"body":"x","n":' + b"1" * 5000 + b"}",
        b'{"body":"x","n":' + b"[" * 100000 + b"}",
    ],
    ids=repr,
)
def test_what_is_not_a_json_object_is_refused(value: bytes) -> None:
    """Text, other JSON, a byte order mark, numbers that are none, broken UTF-8 and endless nesting are `not-json`."""
    assert refusal(value).kind == "not-json"


@pytest.mark.parametrize("field", ["body", "title", "extra", "\\ud800"])
@pytest.mark.parametrize("text", ["\\ud800", "\\udfff", "ok \\ud83d", "\\ud83d\\ud83d\\ude00"])
def test_an_escaped_lone_surrogate_is_refused(field: str, text: str) -> None:
    """Half a character cannot be stored as UTF-8, wherever it stands."""
    assert refusal(f'{{"body":"x","{field}":"{text}"}}'.encode()).kind == "not-json"


def test_an_escaped_surrogate_pair_is_a_character() -> None:
    """Both halves together are a character like any other."""
    assert decode(b'{"body":"\\ud83d\\ude00"}') == Upsert(Document(id=DocumentId("a"), body="\U0001f600"), AT)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"body": None}, "body"),
        ({"body": 5}, "body"),
        ({"body": ""}, "body"),
        ({"body": " \n "}, "body"),
        ({"body": "é" * 524_289}, "body"),
        ({"id": None}, "id"),
        ({"title": 1}, "title"),
        ({"title": None}, "title"),
        ({"tags": "one"}, "tags"),
        ({"tags": ["ok", 2]}, "tags"),
        ({"tags": ["t"] * 10_000}, "tags"),
        ({"metadata": []}, "metadata"),
        ({"metadata": None, "extra": 1}, "metadata"),
        ({"metadata": {"k": {"nested": 1}}}, "metadata"),
        ({"extra": "v" * 8_193}, "metadata"),
        ({"published_at": "2024-01-31T12:00:00"}, "published_at"),
        ({"published_at": "2024-01-31"}, "published_at"),
        ({"published_at": "yesterday"}, "published_at"),
        ({"published_at": 1_700_000_000}, "published_at"),
        ({"published_at": "0001-01-01T00:00:00+02:00"}, "published_at"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_field_is_named(fields: dict[str, Any], field: str) -> None:
    """The reason begins with the field, so that a producer knows what to mend."""
    refused = refusal(json.dumps({"body": "x"} | fields).encode())
    assert refused.kind == "invalid-document"
    assert refused.detail.startswith(f"{field}: ")


def test_a_missing_body_is_named() -> None:
    """A document without a body has nothing to search."""
    assert refusal(b"{}").detail == "body: is required"


def test_an_offset_of_published_at_is_kept() -> None:
    """The producer's own local time can be shown again."""
    published = document(published_at="2024-01-31T12:00:00+05:30").published_at
    assert published == datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert published is not None
    assert published.utcoffset() == timedelta(hours=5, minutes=30)


def test_unknown_fields_go_to_metadata() -> None:
    """Scalars as they are, anything else as its JSON text, beside the metadata that was given."""
    kept = document(stars=5, ratio=0.5, draft=False, gone=None, authors=["a", {"b": 1}], metadata={"k": "v"}).metadata
    assert kept == {"stars": 5, "ratio": 0.5, "draft": False, "gone": None, "authors": '["a",{"b":1}]', "k": "v"}


def test_a_name_at_the_top_and_under_metadata_is_refused() -> None:
    """Which of the two is meant cannot be known."""
    refused = refusal(b'{"body":"x","k":1,"metadata":{"k":1}}')
    assert refused.detail == "k: stands both at the top level and under metadata"


def nested(depth: int) -> str:
    """What becomes of a document with a field nested so deep."""
    try:
        decode(b'{"body":"x","n":' + b"[" * depth + b"]" * depth + b"}")
    except UndecodableRecord as exc:
        return exc.kind
    return "kept"


def test_no_depth_of_nesting_breaks_out() -> None:
    """Around the interpreter's recursion limit too, wherever that lies, nesting is kept or refused."""
    shallow, deep = 1, 200_000
    assert (nested(shallow), nested(deep)) == ("kept", "not-json")
    while deep - shallow > 1:
        middle = (shallow + deep) // 2
        shallow, deep = (shallow, middle) if nested(middle) == "not-json" else (middle, deep)
    around = {nested(depth) for depth in range(max(1, shallow - 200), deep + 200)}
    # Where the limit lies deep, as from Python 3.12 on, the text of the field is too long before.
    assert {"not-json"} < around <= {"kept", "invalid-document", "not-json"}


def test_the_last_of_two_equal_names_wins() -> None:
    """Duplicate keys are legal JSON; the last one counts, as everywhere."""
    assert decode(b'{"body":"first","body":"last"}') == Upsert(Document(id=DocumentId("a"), body="last"), AT)


def test_a_value_beyond_any_document_is_refused_unread() -> None:
    """A value that no document of the limit can need is not parsed at all."""
    value = b'{"body":"' + b"x" * 100 * MAX_JSON_OVERHEAD + b'"}'
    with pytest.raises(UndecodableRecord) as refused:
        decode_change(b"a", value, AT, max_body_bytes=100)
    assert refused.value.kind == "too-large"


def test_a_body_at_its_limit_may_be_escaped_throughout() -> None:
    """The limit is on the text, not on how JSON writes it."""
    body = "\x01" * 100
    value = json.dumps({"body": body}).encode()
    change = decode_change(b"a", value, AT, max_body_bytes=100)
    assert change == Upsert(Document(id=DocumentId("a"), body=body), AT)


def test_a_document_without_key_needs_an_id() -> None:
    """Files and requests have no key to take the id from."""
    with pytest.raises(InvalidDocument, match=r"^id: is required"):
        parse_document(b'{"body":"x"}')


def test_a_document_of_python_values_is_judged_alike() -> None:
    """A lone surrogate that never was JSON is refused by the same check."""
    built = document_from_fields({"id": "a", "body": "\ud800"})
    with pytest.raises(InvalidDocument, match=r"^body: contains a lone surrogate"):
        check_document(built)
