"""Which documents a search is about at all: one question for every index, in a form that each of them can keep.

What a document is filtered by becomes labels: 64-bit numbers of the values in its fields. An index keeps the labels of
each document and finds the documents with a label, whatever field it comes from; a point in time is kept as it is.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, NewType

import msgspec

from streams.document import Document, Scalar

Label = NewType("Label", int)
"""The first 64 bits of BLAKE2b over field and value, 0 to 2**64 - 1. Two values with one label are not told apart."""

METADATA: Final = "metadata."
"""Begins the names of the fields under `metadata`."""

_encoded = json.JSONEncoder(ensure_ascii=False).encode  # as `json.dumps`, which makes an encoder each time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Period(msgspec.Struct, frozen=True):
    """Points in time, in microseconds since the epoch; those before it are negative.

    Attributes:
        first: the first of them.
        last: the last of them.
    """

    first: int
    last: int


class Filter(msgspec.Struct, frozen=True):
    """The documents that a search may find; without conditions, all.

    Attributes:
        labels: of each group a document must have at least one; no group is empty.
        published: when it must have been published; a document without a date then never counts.
    """

    labels: tuple[frozenset[Label], ...] = ()
    published: Period | None = None

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return bool(self.labels) or self.published is not None


EVERYTHING: Final = Filter()


def label(field: str, value: Scalar) -> Label:
    """The label of a value.

    Args:
        field: `source`, `tags`, `language` or, of metadata, `metadata.` and its name.
        value: numbers are equal as JSON's are, 1 and 1.0; a language is equal in any case.
    """
    named = field.encode() + b"\0" + _encoded(_canonical(field, value)).encode()
    return Label(int.from_bytes(blake2b(named, digest_size=8).digest(), "little"))


def labels_of(document: Document) -> set[Label]:
    """What a document can be found by; see `Filter`."""
    return {label(field, value) for field, value in named_values(document)}


def named_values(document: Document) -> Iterator[tuple[str, Scalar]]:
    """Each field of a document that it can be found by, with a value; equal values are written alike."""
    for tag in document.tags:
        yield "tags", tag
    for name, value in document.metadata.items():
        yield METADATA + name, _canonical(METADATA + name, value)
    for tag in _ranges(document.language):
        yield "language", tag.lower()
    if document.source:
        yield "source", document.source


def microseconds(moment: datetime) -> int:
    """Since the epoch; exact, where a float of seconds is not."""
    return (moment - _EPOCH) // _MICROSECOND


def published_us(document: Document) -> int | None:
    """When a document was published, in microseconds since the epoch."""
    return None if document.published_at is None else microseconds(document.published_at)


def _canonical(field: str, value: Scalar) -> Scalar:
    if field == "language" and isinstance(value, str):
        return value.lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ranges(language: str) -> Iterator[str]:
    """A language tag and what it is a kind of: `en-US`, then `en` (basic filtering of RFC 4647, 3.3.1)."""
    while language:
        yield language
        language = language.rpartition("-")[0]
