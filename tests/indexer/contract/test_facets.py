"""What every search backend must count: the documents that match, and those that are named, by each of their values."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.facets import LONGEST_VALUE, FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter, Period, label, microseconds
from indexer.writer import IndexWriter
from streams.change import Change, Position, Upsert
from streams.document import Document, DocumentId, Scalar
from tests.indexer.contract.changes import EPOCH_MS, delete
from tests.indexer.contract.harness import SOON, Index, index_changes

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
FIELDS = ("source", "tags", "language", "metadata.size", "metadata.s", "metadata.a\0b", "metadata.a", "metadata.x.*")

DOCUMENTS = (
    Document(id=DocumentId("bare"), body="needle words"),
    Document(id=DocumentId("wiki-en"), body="needle words", source="wiki", language="en-US", tags=("red", "round")),
    Document(id=DocumentId("wiki-de"), body="words", source="wiki", language="de", tags=("blue", "round", "blue")),
    Document(id=DocumentId("mail-en"), body="words", source="mail", language="EN", tags=("Red", "", 'quo"te\\')),
    Document(id=DocumentId("mail-eng"), body="needle words", source="mail", language="eng", tags=("wiki", "é\0ü")),
    Document(id=DocumentId("string"), body="words", metadata={"size": "1", "s": "x" * LONGEST_VALUE}),
    Document(id=DocumentId("int"), body="needle words", metadata={"size": 1, "s": "x" * (LONGEST_VALUE + 1)}),
    Document(id=DocumentId("float"), body="words", metadata={"size": 1.0, "a": "b"}),
    Document(id=DocumentId("fraction"), body="words", metadata={"size": 1.5, "a\0b": "c", "x.*": "star"}),
    Document(id=DocumentId("bool"), body="needle words", metadata={"size": True, "x.y": "no star"}),
    Document(id=DocumentId("null"), body="words", metadata={"size": None}),
    Document(id=DocumentId("noon"), body="words", published_at=NOON, source="wiki", tags=("red",)),
)
_COMMIT = 5


async def _index(writer: IndexWriter, documents: Iterable[Document], *, offset: int = 0) -> None:
    changes = [Upsert(document, Position(0, at, EPOCH_MS + at)) for at, document in enumerate(documents, offset)]
    for start in range(0, len(changes), _COMMIT):
        await index_changes(writer, *changes[start : start + _COMMIT])


async def _count(backend: SearchBackend, *fields: str, limit: int = 100, **asked: Any) -> FacetCounts:
    return await backend.count(FacetQuery(fields or FIELDS, limit, Deadline.after(SOON), **asked))


def _shown(counts: FacetCounts) -> dict[str, dict[Scalar, int]]:
    """The counts by field; values that are equal to Python and not to JSON are told apart by their type."""
    return {field: {repr(each.value): each.count for each in facet.values} for field, facet in counts.fields.items()}


def _expected(documents: Iterable[Document]) -> dict[str, dict[Scalar, int]]:
    """Told in the plainest way."""
    counts: dict[str, Counter[Scalar]] = {field: Counter() for field in FIELDS}
    for document in documents:
        languages = document.language.lower().split("-")
        ranges = ["-".join(languages[: end + 1]) for end in range(len(languages))] if document.language else []
        values: Mapping[str, Iterable[Scalar]] = {
            "source": [document.source] if document.source else [],
            "tags": set(document.tags),
            "language": ranges,
            **{f"metadata.{name}": [value] for name, value in document.metadata.items()},
        }
        for field in FIELDS:
            for value in values.get(field, ()):
                if not (isinstance(value, str) and len(value) > LONGEST_VALUE):
                    counts[field][repr(1 if type(value) is float and value == 1 else value)] += 1
    return {field: dict(counts[field]) for field in FIELDS}


async def test_everything(writer: IndexWriter, backend: SearchBackend) -> None:
    """Each document counts once for each of its values, which are told apart as filters do."""
    await _index(writer, DOCUMENTS)
    counts = await _count(backend, everything=True)
    assert _shown(counts) == _expected(DOCUMENTS)
    assert (counts.documents, counts.missing, counts.whole) == (len(DOCUMENTS), 0, True)


async def test_a_value_counts_as_many_as_a_filter_for_it_leaves(writer: IndexWriter, backend: SearchBackend) -> None:
    """So whoever picks a value gets what its count promised."""
    await _index(writer, DOCUMENTS)
    counts = await _count(backend, everything=True)
    for field, facet in counts.fields.items():
        for each in facet.values:
            only = Filter((frozenset({label(field, each.value)}),))
            newest = await backend.newest(100, Deadline.after(SOON), only)
            assert newest.total == each.count, (field, each.value)


async def test_what_matches_and_what_is_named(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """What matches the query counts and so do documents by id, each once; ids that are not there are told."""
    await _index(writer, DOCUMENTS)
    ids = [DocumentId(name) for name in ("noon", "bare", "wiki-de", "nowhere")]
    named = [document for document in DOCUMENTS if document.id in ids]
    counts = await _count(backend, ids=ids)
    assert (_shown(counts), counts.documents, counts.missing) == (_expected(named), 3, 1)
    counts = await _count(backend, ids=ids, text="needle")
    answer = await backend.search(Query("needle", 100, Deadline.after(SOON)))
    if index.matches_words:
        named = [document for document in DOCUMENTS if document.id in ids or "needle" in document.body]
        assert counts.whole
        assert len(named) < len(DOCUMENTS) < answer.total + 10
    assert (_shown(counts), counts.documents, counts.missing) == (_expected(named), len(named), 1)


async def test_a_filter_narrows_what_matches(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """What does not pass is not counted, unless it is named."""
    await _index(writer, DOCUMENTS)
    wiki = Filter((frozenset({label("source", "wiki")}),))
    counts = await _count(backend, everything=True, only=wiki)
    assert _shown(counts) == _expected([document for document in DOCUMENTS if document.source == "wiki"])
    noon = Filter(published=Period(microseconds(NOON), microseconds(NOON)))
    counts = await _count(backend, everything=True, only=noon, ids=[DocumentId("int")])
    assert _shown(counts) == _expected([document for document in DOCUMENTS if document.id in {"noon", "int"}])
    if index.matches_words:
        counts = await _count(backend, text="needle", only=wiki)
        assert _shown(counts) == _expected([document for document in DOCUMENTS if document.id == "wiki-en"])


async def test_the_commonest_first_then_by_value(writer: IndexWriter, backend: SearchBackend) -> None:
    """However the documents lie, the same values are shown, and the others are told by their number."""
    documents = [
        Document(
            id=DocumentId(f"d{number:03}"),
            body="needle",
            tags=(f"t{number % 25:02}", "all"),
            metadata={"own": number, "half": number % 2 == 0},
        )
        for number in range(60)
    ]
    await _index(writer, documents)
    counts = await _count(backend, "tags", "metadata.own", "metadata.half", "source", everything=True, limit=4)
    shown = {field: [(each.value, each.count) for each in facet.values] for field, facet in counts.fields.items()}
    assert shown["tags"] == [("all", 60), ("t00", 3), ("t01", 3), ("t02", 3)]
    assert shown["metadata.own"] == [(0, 1), (1, 1), (10, 1), (11, 1)]  # in the order of their JSON
    assert shown["metadata.half"] == [(False, 30), (True, 30)]
    assert shown["source"] == []
    assert {field: facet.others for field, facet in counts.fields.items()} == {
        "tags": 22,
        "metadata.own": 56,
        "metadata.half": 0,
        "source": 0,
    }


async def test_versions_and_deletions(writer: IndexWriter, backend: SearchBackend) -> None:
    """The newest version counts alone, and a deleted document not at all, by whatever it is asked for."""
    await _index(writer, DOCUMENTS)
    changed = Document(id=DocumentId("wiki-en"), body="needle words", source="moved", tags=("square",))
    await _index(writer, [changed], offset=len(DOCUMENTS))
    await index_changes(writer, delete("int", offset=len(DOCUMENTS) + 1))
    left = [document for document in DOCUMENTS if document.id not in {"wiki-en", "int"}]
    assert _shown(await _count(backend, everything=True)) == _expected([*left, changed])
    counts = await _count(backend, ids=[DocumentId("wiki-en"), DocumentId("int")])
    assert (_shown(counts), counts.missing) == (_expected([changed]), 1)


async def test_counts_outlive_many_commits(writer: IndexWriter, backend: SearchBackend) -> None:
    """However an index reorganises what many commits wrote, each document keeps its values."""
    documents: dict[str, Document] = {}
    for number in range(45):
        name = DocumentId(f"d{number % 30}")
        document = Document(id=name, body="needle", tags=(f"t{number % 7}", "all"), metadata={"size": number})
        documents[name] = document
        change: Change = Upsert(document, Position(0, number, EPOCH_MS + number))
        await index_changes(writer, change)
    counts = await _count(backend, everything=True)
    assert _shown(counts) == _expected(documents.values())
    assert counts.documents == 30


async def test_an_empty_index(backend: SearchBackend) -> None:
    """Nothing is counted where nothing is."""
    counts = await _count(backend, everything=True, ids=[DocumentId("a")], only=EVERYTHING)
    assert (_shown(counts), counts.documents, counts.missing) == ({field: {} for field in FIELDS}, 0, 1)


async def test_time_is_kept(writer: IndexWriter, backend: SearchBackend) -> None:
    """What is late is not begun."""
    await _index(writer, DOCUMENTS)
    with pytest.raises(DeadlineExceeded):
        await backend.count(FacetQuery(FIELDS, 10, Deadline.after(0), everything=True))
