"""What documents are filtered by: labels of values, and points in time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.filtering import EVERYTHING, METADATA, Filter, Period, label, labels_of, microseconds, published_us
from streams.document import Document, DocumentId, Scalar

FIELDS = st.sampled_from(["source", "tags", "language"]) | st.text().map(METADATA.__add__)
SCALARS = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()


def _identity(field: str, value: Scalar) -> tuple[object, ...]:
    """What makes two values the same."""
    if field == "language" and isinstance(value, str):
        value = value.lower()
    return (field, "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value), value)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("source", "wiki", 0xB68E842D3E3733D8),
        ("tags", "é\0", 0x03B2721FC9F4273E),
        ("metadata.size", 1, 0xFA7ABD7DD134D97C),
        ("metadata.size", 0.5, 0x58C83547246C321E),
        ("metadata.size", None, 0xE1B0570E6149A3C9),
        ("metadata.size", True, 0xA949ED747B37D681),
    ],
)
def test_labels_stay_what_they_are(field: str, value: Scalar, expected: int) -> None:
    """Indexes keep labels, so another way to compute them would need another format of each index."""
    assert label(field, value) == expected


@given(FIELDS, SCALARS, FIELDS, SCALARS)
def test_labels_tell_values_apart(field: str, value: Scalar, other_field: str, other_value: Scalar) -> None:
    """Two labels are equal if and only if field and value are."""
    assert 0 <= label(field, value) < 2**64
    same = _identity(field, value) == _identity(other_field, other_value)
    assert (label(field, value) == label(other_field, other_value)) == same


@given(st.integers(-(2**53), 2**53))
def test_numbers_are_equal_as_those_of_json(number: int) -> None:
    """An integer is the same value with a fraction of zero, and another one as a text."""
    assert label("metadata.n", number) == label("metadata.n", float(number))
    assert label("metadata.n", number) != label("metadata.n", str(number))


@pytest.mark.parametrize("number", [0, 1])
def test_a_truth_value_is_no_number(number: int) -> None:
    """JSON's true is not 1, though Python's is."""
    assert label("metadata.n", bool(number)) != label("metadata.n", number)
    assert label("metadata.n", bool(number)) != label("metadata.n", str(bool(number)).lower())


def test_null_is_a_value() -> None:
    """It is not the absence of one, nor a text."""
    document = Document(id=DocumentId("a"), body="words", metadata={"n": None})
    assert labels_of(document) == {label("metadata.n", None)}
    assert label("metadata.n", None) != label("metadata.n", "null")


def test_case_matters_except_in_languages() -> None:
    """Language tags are written in any case (RFC 5646, 2.1.1), and other values as they are."""
    assert label("language", "en-US") == label("language", "EN-us")
    for field in ("source", "tags", "metadata.language"):
        assert label(field, "en-US") != label(field, "EN-us")


def test_a_document_has_a_label_for_each_value() -> None:
    """Of source, tags and metadata, and for a language and each that it is a kind of."""
    document = Document(
        id=DocumentId("a"),
        body="words",
        title="title",
        url="https://example.org",
        source="wiki",
        tags=("red", "round", "red"),
        language="zh-Hant-TW",
        published_at=datetime(2024, 1, 31, tzinfo=UTC),
        metadata={"n": 1, "source": "mail"},
    )
    assert labels_of(document) == {
        label("source", "wiki"),
        label("tags", "red"),
        label("tags", "round"),
        label("language", "zh-Hant-TW"),
        label("language", "zh-Hant"),
        label("language", "zh"),
        label("metadata.n", 1),
        label("metadata.source", "mail"),
    }


def test_a_bare_document_has_no_label() -> None:
    """What is empty is not there."""
    assert labels_of(Document(id=DocumentId("a"), body="words")) == set()


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_microseconds_are_exact(moment: int) -> None:
    """From the first microsecond of the year 1 to the last of the year 9999."""
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)) == moment


def test_a_point_in_time_is_the_same_everywhere() -> None:
    """The offset from UTC says how it was written."""
    moment = datetime(2024, 1, 31, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    assert microseconds(elsewhere) == microseconds(moment) == 1_706_702_400_000_000


def test_documents_may_have_no_date() -> None:
    """Only those with one have a point in time."""
    moment = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert published_us(Document(id=DocumentId("a"), body="words", published_at=moment)) == -1_000_000
    assert published_us(Document(id=DocumentId("a"), body="words")) is None


def test_a_filter_is_true_with_conditions() -> None:
    """A period that begins and ends at the epoch is a condition, too."""
    assert not EVERYTHING
    assert Filter((frozenset({label("source", "wiki")}),))
    assert Filter(published=Period(0, 0))
