"""The document: what producers publish and clients get back, with every limit it must keep.

Limits are checked in one place, so that a record from Kafka and a request over HTTP are judged alike.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, NewType

import msgspec

from streams.errors import InvalidDocument

DocumentId = NewType("DocumentId", str)

Scalar = str | int | float | bool | None

MAX_ID_BYTES = 512
MAX_TITLE_CHARACTERS = 4_096
MAX_BODY_BYTES = 1_048_576
MAX_URL_CHARACTERS = 8_192
MAX_SOURCE_CHARACTERS = 256
MAX_LANGUAGE_CHARACTERS = 35  # the longest tag BCP 47 tells implementations to expect (RFC 5646, 4.4.1)
MAX_TAGS = 256
MAX_TAG_CHARACTERS = 256
MAX_METADATA_ENTRIES = 256
MAX_METADATA_KEY_CHARACTERS = 256
MAX_METADATA_VALUE_CHARACTERS = 8_192


class Document(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One searchable document.

    Attributes:
        id: 1 to 512 bytes of UTF-8, unique; also the key of its Kafka record.
        title: shown with a hit and searched with more weight than the body.
        body: the text, required and not blank, at most 1 MiB of UTF-8 unless the settings say otherwise.
        url: where the original is.
        source: the collection it belongs to.
        tags: labels, without order.
        language: BCP 47 tag.
        published_at: point in time with a UTC offset.
        metadata: scalars by name; unknown fields of a producer's JSON are kept here.
    """

    id: DocumentId
    body: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"\S"})]
    title: str = ""
    url: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    language: str = ""
    published_at: datetime | None = None
    metadata: dict[str, Scalar] = msgspec.field(default_factory=dict)


def check_document(document: Document, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
    """Hold a document against every limit.

    Raises:
        InvalidDocument: naming the first field that breaks one.
    """
    check_id(document.id)
    _check_body(document.body, max_body_bytes)
    _check_text("title", document.title, MAX_TITLE_CHARACTERS)
    _check_text("url", document.url, MAX_URL_CHARACTERS)
    _check_text("source", document.source, MAX_SOURCE_CHARACTERS)
    _check_text("language", document.language, MAX_LANGUAGE_CHARACTERS)
    _check_tags(document.tags)
    _check_metadata(document.metadata)
    _check_published_at(document.published_at)


def check_id(document_id: str, *, field: str = "id") -> None:
    """Hold a document id against its limits.

    Raises:
        InvalidDocument: naming `field`.
    """
    size = _utf8_size(field, document_id)
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidDocument(field, f"must be 1 to {MAX_ID_BYTES} bytes of UTF-8, got {size}")
    if "\0" in document_id:
        raise InvalidDocument(field, "must not contain NUL characters")


def _check_body(body: str, max_body_bytes: int) -> None:
    size = _utf8_size("body", body)
    if size > max_body_bytes:
        raise InvalidDocument("body", f"must be at most {max_body_bytes} bytes of UTF-8, got {size}")
    if not body.strip():
        raise InvalidDocument("body", "must not be empty or blank")


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidDocument("tags", f"must be at most {MAX_TAGS}, got {len(tags)}")
    for tag in tags:
        _check_text("tags", tag, MAX_TAG_CHARACTERS)


def _check_metadata(metadata: dict[str, Scalar]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise InvalidDocument("metadata", f"must be at most {MAX_METADATA_ENTRIES} entries, got {len(metadata)}")
    _check_all("metadata", metadata, MAX_METADATA_KEY_CHARACTERS)
    texts = (value for value in metadata.values() if isinstance(value, str))
    _check_all("metadata", texts, MAX_METADATA_VALUE_CHARACTERS)
    if not all(math.isfinite(value) for value in metadata.values() if isinstance(value, float)):
        raise InvalidDocument("metadata", "must hold finite numbers: JSON has no others")


def _check_published_at(published_at: datetime | None) -> None:
    if published_at is None:
        return
    if published_at.tzinfo is None:
        raise InvalidDocument("published_at", "must carry a UTC offset, as in 2024-01-31T12:00:00Z")
    try:
        published_at.astimezone(UTC)
    except OverflowError as exc:
        raise InvalidDocument("published_at", "must lie in the years 1 to 9999 of UTC") from exc


def _check_all(field: str, texts: Iterable[str], limit: int) -> None:
    for text in texts:
        _check_text(field, text, limit)


def _check_text(field: str, text: str, limit: int) -> None:
    _utf8_size(field, text)
    if len(text) > limit:
        raise InvalidDocument(field, f"must be at most {limit} characters, got {len(text)}")


def _utf8_size(field: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidDocument(field, "contains a lone surrogate, which is not valid Unicode text") from exc
