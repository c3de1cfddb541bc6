"""How many of the documents that a search found have each value of a field: one question for every index.

A value's count is the number of documents that a filter for it would leave (see `indexer.filtering`); so a language
counts for its ranges, `en-US` for `en` too. Indexes know a value by its name: field, zero byte, value as JSON.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from indexer.deadline import Deadline
from indexer.filtering import EVERYTHING, Filter, named_values
from streams.document import Document, DocumentId, Scalar

_SEPARATOR: Final = b"\0"
_UNAMBIGUOUS: Final = str.maketrans({"\1": "\1\1", "\0": "\1\2"})
"""A name under `metadata` may hold any character, so that a zero byte would end it before its end; JSON holds none."""

_encoded: Final = json.JSONEncoder(ensure_ascii=False).encode

LONGEST_VALUE: Final = 256
"""Characters of a text that is counted: what is longer tells a document apart, and does not group it with others."""


class FacetQuery(msgspec.Struct, frozen=True):
    """What to count, and in which documents: those with an id, and those that match, each once.

    Attributes:
        fields: `source`, `tags`, `language` or `metadata.` and a name.
        limit: how many values of each to give.
        deadline: when to give up.
        ids: documents to count in any case.
        text: count what matches this query too, in the syntax of the method that is asked.
        everything: count all documents.
        only: the documents that may match; of `everything`, those to count.
    """

    fields: tuple[str, ...]
    limit: int
    deadline: Deadline
    ids: Sequence[DocumentId] = ()
    text: str | None = None
    everything: bool = False
    only: Filter = EVERYTHING


class ValueCount(msgspec.Struct, frozen=True):
    """One value of a field.

    Attributes:
        value: as a filter takes it.
        count: documents that have it.
    """

    value: Scalar
    count: int


class Facet(msgspec.Struct, frozen=True):
    """The values of one field.

    Attributes:
        values: the commonest, and of those that are as common the first by their JSON.
        others: how many other values there are.
    """

    values: tuple[ValueCount, ...] = ()
    others: int = 0


class FacetCounts(msgspec.Struct, frozen=True):
    """What was counted in one snapshot of an index.

    Attributes:
        fields: by name.
        documents: how many documents were counted.
        missing: how many of the ids that were asked for the index does not hold.
        whole: whether all documents were counted that match the query in this index.
    """

    fields: Mapping[str, Facet]
    documents: int
    missing: int = 0
    whole: bool = True


def facet_names(document: Document) -> set[bytes]:
    """The names of the values that a document is counted under."""
    return {
        prefix_of(field) + _encoded(value).encode()
        for field, value in named_values(document)
        if not (isinstance(value, str) and len(value) > LONGEST_VALUE)
    }


def prefix_of(field: str) -> bytes:
    """How the names of a field's values begin; with one byte more, the last of them is behind them all."""
    return field.translate(_UNAMBIGUOUS).encode() + _SEPARATOR


def facet_of(counts: Mapping[bytes, int], field: str, limit: int, *, more: int = 0) -> Facet:
    """The facet of a field.

    Args:
        counts: by name, of no other field; those at least that can be among the commonest.
        field: the field.
        limit: values to give.
        more: values that are not in `counts`.
    """
    prefix = prefix_of(field)
    commonest = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:limit]
    values = tuple(ValueCount(json.loads(name.removeprefix(prefix)), count) for name, count in commonest)
    return Facet(values, len(counts) - len(values) + more)


def count_documents(documents: Iterable[Document], asked: FacetQuery) -> tuple[dict[str, Facet], int]:
    """Count documents one by one, for an index that keeps no columns; and how many they were."""
    counts: Counter[bytes] = Counter()
    prefixes = tuple(map(prefix_of, asked.fields))
    total = 0
    for document in documents:
        counts.update(name for name in facet_names(document) if name.startswith(prefixes))
        total += 1
    return {field: facet_of(_under(counts, field), field, asked.limit) for field in asked.fields}, total


def _under(counts: Mapping[bytes, int], field: str) -> dict[bytes, int]:
    prefix = prefix_of(field)
    return {name: count for name, count in counts.items() if name.startswith(prefix)}
