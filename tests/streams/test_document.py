"""Every limit of a document, and the field that a refusal names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from streams.document import Document, DocumentId, check_document, check_id
from streams.errors import InvalidDocument

GOOD = Document(id=DocumentId("a"), body="text")
LONE_SURROGATE = "\ud800"


def many(count: int) -> dict[str, str | int | float | bool | None]:
    """Metadata with so many entries."""
    return {str(number): number for number in range(count)}


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        replace(GOOD, id="é" * 256),
        replace(GOOD, body="é" * 524_288),
        replace(GOOD, title="t" * 4_096),
        replace(GOOD, url="u" * 8_192),
        replace(GOOD, source="s" * 256),
        replace(GOOD, language="l" * 35),
        replace(GOOD, tags=("t" * 256,) * 256),
        replace(GOOD, metadata=many(256)),
        replace(GOOD, metadata={"k" * 256: "v" * 8_192, "big": 2**70, "none": None, "yes": True}),
        replace(GOOD, published_at=datetime(1, 1, 1, tzinfo=UTC)),
        replace(GOOD, body="\0 and \u202e stay text"),
    ],
)
def test_a_document_at_its_limits_is_good(document: Document) -> None:
    """What is exactly as large as allowed is allowed."""
    check_document(document)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (replace(GOOD, id=""), "id"),
        (replace(GOOD, id="é" * 256 + "a"), "id"),
        (replace(GOOD, id="a\0b"), "id"),
        (replace(GOOD, id=LONE_SURROGATE), "id"),
        (replace(GOOD, body=""), "body"),
        (replace(GOOD, body=" \n\t\u2003"), "body"),
        (replace(GOOD, body="é" * 524_288 + "a"), "body"),
        (replace(GOOD, body=LONE_SURROGATE), "body"),
        (replace(GOOD, title="t" * 4_097), "title"),
        (replace(GOOD, title=LONE_SURROGATE), "title"),
        (replace(GOOD, url="u" * 8_193), "url"),
        (replace(GOOD, source="s" * 257), "source"),
        (replace(GOOD, language="l" * 36), "language"),
        (replace(GOOD, tags=("t",) * 10_000), "tags"),
        (replace(GOOD, tags=("t" * 257,)), "tags"),
        (replace(GOOD, tags=(LONE_SURROGATE,)), "tags"),
        (replace(GOOD, metadata=many(257)), "metadata"),
        (replace(GOOD, metadata={"k" * 257: 1}), "metadata"),
        (replace(GOOD, metadata={"k": "v" * 8_193}), "metadata"),
        (replace(GOOD, metadata={LONE_SURROGATE: 1}), "metadata"),
        (replace(GOOD, metadata={"k": LONE_SURROGATE}), "metadata"),
        (replace(GOOD, metadata={"k": float("nan")}), "metadata"),
        (replace(GOOD, metadata={"k": float("inf")}), "metadata"),
        (replace(GOOD, published_at=datetime(2024, 1, 1)), "published_at"),  # noqa: DTZ001 - a naive time is the case
        (replace(GOOD, published_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))), "published_at"),
        (replace(GOOD, published_at=datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2)))), "published_at"),
    ],
)
def test_a_broken_limit_names_its_field(document: Document, field: str) -> None:
    """The refusal says which field broke, as an attribute and at the start of its message."""
    with pytest.raises(InvalidDocument) as refusal:
        check_document(document)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")


def test_the_limit_of_a_body_is_a_setting() -> None:
    """A smaller limit refuses what the default allows, and a larger one allows what it refuses."""
    with pytest.raises(InvalidDocument, match="at most 3 bytes"):
        check_document(GOOD, max_body_bytes=3)
    check_document(replace(GOOD, body="x" * 1_048_577), max_body_bytes=2_000_000)


def test_an_id_is_checked_under_the_name_it_came_by() -> None:
    """The key of a record is an id too, and a refusal says `key`."""
    with pytest.raises(InvalidDocument, match=r"^key: must be 1 to 512 bytes"):
        check_id("", field="key")
