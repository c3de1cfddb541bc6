"""What every search backend must do with a filter: what does not pass it is neither found nor counted."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from indexer.backend import Answer, Query, SearchBackend
from indexer.deadline import Deadline
from indexer.filtering import EVERYTHING, Filter, Label, Period, label, microseconds
from indexer.writer import IndexWriter
from streams.change import Change, Position, Upsert
from streams.document import Document, DocumentId, Scalar
from tests.indexer.contract.changes import EPOCH_MS, delete
from tests.indexer.contract.harness import SOON, index_changes

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
IN_DELHI = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
A_MICROSECOND = timedelta(microseconds=1)
ANY_DATE = Period(-(2**63), 2**63 - 1)

DOCUMENTS = (
    Document(id=DocumentId("bare"), body="words"),
    Document(id=DocumentId("wiki-en"), body="words", source="wiki", language="en-US", tags=("red", "round")),
    Document(id=DocumentId("wiki-de"), body="words", source="wiki", language="de", tags=("blue", "round")),
    Document(id=DocumentId("mail-en"), body="words", source="mail", language="en", tags=("Red",)),
    Document(id=DocumentId("mail-eng"), body="words", source="mail", language="eng-Latn-GB", tags=("wiki", "é\0ü")),
    Document(id=DocumentId("string"), body="words", metadata={"size": "1"}),
    Document(id=DocumentId("int"), body="words", metadata={"size": 1}),
    Document(id=DocumentId("float"), body="words", metadata={"size": 1.0}),
    Document(id=DocumentId("fraction"), body="words", metadata={"size": 1.5, "source": "wiki", "color": "red"}),
    Document(id=DocumentId("bool"), body="words", metadata={"size": True, "color": "blue"}),
    Document(id=DocumentId("null"), body="words", metadata={"size": None, "color": "red"}),
    Document(id=DocumentId("empty"), body="words", metadata={"size": ""}),
    Document(id=DocumentId("first-year"), body="words", published_at=datetime(1, 1, 1, tzinfo=UTC)),
    Document(id=DocumentId("before-1970"), body="words", published_at=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    Document(id=DocumentId("before-noon"), body="words", published_at=NOON - A_MICROSECOND, source="wiki"),
    Document(id=DocumentId("noon"), body="words", published_at=NOON, source="wiki", tags=("red",)),
    Document(id=DocumentId("noon-mail"), body="words", published_at=IN_DELHI, source="mail", tags=("red", "blue")),
    Document(id=DocumentId("after-noon"), body="words", published_at=NOON + A_MICROSECOND, tags=("red",)),
    Document(id=DocumentId("last-year"), body="words", published_at=datetime(9999, 12, 31, tzinfo=UTC)),
)
"""All are found by `words`."""

Cases = tuple[tuple[Filter, set[str]], ...]
"""Filters, and which documents pass them."""

_COMMIT = 5
"""Documents of one commit, so that there are several."""


async def _index(writer: IndexWriter, documents: Iterable[Document], *, offset: int = 0) -> None:
    changes = [Upsert(document, Position(0, at, EPOCH_MS + at)) for at, document in enumerate(documents, offset)]
    for start in range(0, len(changes), _COMMIT):
        await index_changes(writer, *changes[start : start + _COMMIT])


async def _search(backend: SearchBackend, only: Filter, *, text: str = "words", limit: int = 100) -> Answer:
    return await backend.search(Query(text, limit, Deadline.after(SOON), only))


async def _passing(backend: SearchBackend, only: Filter) -> set[str]:
    """The documents that pass a filter, in a search as among the newest, and as both count them."""
    searched = await _search(backend, only)
    newest = await backend.newest(100, Deadline.after(SOON), only)
    names = [hit.id for hit in searched.hits]
    assert len(set(names)) == len(names) == searched.total
    assert sorted(hit.id for hit in newest.hits) == sorted(names)
    assert newest.total == len(names)
    assert searched.total_relation == newest.total_relation == "eq"
    return set(names)


async def _answered(backend: SearchBackend, cases: Cases) -> Cases:
    """What passes the filters of all cases, on the one index that they share."""
    return tuple([(only, await _passing(backend, only)) for only, _ in cases])


def _any_of(*labels: Label) -> frozenset[Label]:
    return frozenset(labels)


def _only(field: str, *values: Scalar) -> Filter:
    """Documents with any of some values in a field."""
    return Filter((_any_of(*(label(field, value) for value in values)),))


def _published(first: datetime, last: datetime) -> Filter:
    return Filter(published=Period(microseconds(first), microseconds(last)))


LABELS: Cases = (
    (EVERYTHING, {document.id for document in DOCUMENTS}),
    (_only("source", "mail"), {"mail-en", "mail-eng", "noon-mail"}),
    (_only("source", "mail", "wiki"), {document.id for document in DOCUMENTS if document.source}),
    (_only("source", "Mail"), set()),
    (_only("source", ""), set()),
    (_only("tags", "round"), {"wiki-en", "wiki-de"}),
    (_only("tags", "red"), {"wiki-en", "noon", "noon-mail", "after-noon"}),
    (_only("tags", "red", "blue", "green"), {"wiki-en", "wiki-de", "noon", "noon-mail", "after-noon"}),
    (_only("tags", "wiki"), {"mail-eng"}),
    (_only("tags", "é\0ü"), {"mail-eng"}),
    (_only("language", "en"), {"wiki-en", "mail-en"}),
    (_only("language", "EN-us"), {"wiki-en"}),
    (_only("language", "eng-Latn"), {"mail-eng"}),
    (_only("language", "e", "en-", "Latn"), set()),
    (_only("metadata.size", "1"), {"string"}),
    (_only("metadata.size", 1), {"int", "float"}),
    (_only("metadata.size", 1.0), {"int", "float"}),
    (_only("metadata.size", 1.5), {"fraction"}),
    (_only("metadata.size", True), {"bool"}),  # noqa: FBT003 - a value, not a switch
    (_only("metadata.size", False, 0), set()),  # noqa: FBT003 - see above
    (_only("metadata.size", None), {"null"}),
    (_only("metadata.size", "null", "true", "1.5"), set()),
    (_only("metadata.size", ""), {"empty"}),
    (_only("metadata.size", 1, None, "1"), {"int", "float", "null", "string"}),
    (_only("metadata.source", "wiki"), {"fraction"}),
    (_only("metadata", "wiki"), set()),
    (_only("size", 1), set()),
)


async def test_labels(writer: IndexWriter, backend: SearchBackend) -> None:
    """A document passes with any of the values of a field, which are equal as JSON's are, and no other field's."""
    await _index(writer, DOCUMENTS)
    assert await _answered(backend, LABELS) == LABELS


PERIODS: Cases = (
    (_published(NOON, NOON), {"noon", "noon-mail"}),
    (_published(NOON - A_MICROSECOND, NOON), {"before-noon", "noon", "noon-mail"}),
    (_published(NOON, NOON + A_MICROSECOND), {"noon", "noon-mail", "after-noon"}),
    (_published(NOON + 2 * A_MICROSECOND, NOON + timedelta(days=1)), set()),
    (_published(NOON, NOON - A_MICROSECOND), set()),
    (_published(datetime(1969, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)), {"before-1970"}),
    (_published(datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)), {"first-year"}),
    (_published(datetime(9999, 12, 31, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)), {"last-year"}),
    (Filter(published=ANY_DATE), {document.id for document in DOCUMENTS if document.published_at}),
    (Filter(published=Period(0, 0)), set()),
)


async def test_periods(writer: IndexWriter, backend: SearchBackend) -> None:
    """Both ends of a period belong to it, to the microsecond, and a document without a date is in none."""
    await _index(writer, DOCUMENTS)
    assert await _answered(backend, PERIODS) == PERIODS


CONDITIONS: Cases = (
    (Filter((_any_of(label("source", "wiki")), _any_of(label("tags", "red")))), {"wiki-en", "noon"}),
    (
        Filter((_any_of(label("tags", "red")), _any_of(label("tags", "blue")))),
        {"noon-mail"},
    ),
    (
        Filter(
            (
                _any_of(label("source", "wiki"), label("source", "mail")),
                _any_of(label("tags", "red"), label("tags", "round")),
                _any_of(label("language", "en"), label("language", "de")),
            )
        ),
        {"wiki-en", "wiki-de"},
    ),
    (
        Filter((_any_of(label("metadata.color", "red")), _any_of(label("metadata.size", None)))),
        {"null"},
    ),
    (Filter((_any_of(label("tags", "red")), _any_of(label("tags", "nowhere")))), set()),
    (
        Filter((_any_of(label("source", "wiki")),), Period(microseconds(NOON), microseconds(NOON))),
        {"noon"},
    ),
    (Filter((_any_of(label("source", "wiki")),), ANY_DATE), {"before-noon", "noon"}),
    (Filter((_any_of(label("tags", "round")),), ANY_DATE), set()),
)


async def test_all_conditions_hold(writer: IndexWriter, backend: SearchBackend) -> None:
    """A document must have one label of each group, and be of the period."""
    await _index(writer, DOCUMENTS)
    assert await _answered(backend, CONDITIONS) == CONDITIONS


async def test_empty_index_with_a_filter(backend: SearchBackend) -> None:
    """Nothing passes where nothing is."""
    assert await _passing(backend, _only("source", "wiki")) == set()
    assert await _passing(backend, Filter(published=ANY_DATE)) == set()


async def test_an_update_changes_what_a_document_is_found_by(writer: IndexWriter, backend: SearchBackend) -> None:
    """The newest version counts alone, and a deleted document passes no filter."""
    old = Document(id=DocumentId("a"), body="words", tags=("old", "both"), published_at=NOON)
    new = Document(id=DocumentId("a"), body="words", tags=("new", "both"), published_at=NOON + A_MICROSECOND)
    await _index(writer, [old, Document(id=DocumentId("b"), body="words", tags=("old", "both"))])
    assert await _passing(backend, _only("tags", "old")) == {"a", "b"}
    assert await _passing(backend, _published(NOON, NOON)) == {"a"}
    await _index(writer, [new], offset=2)
    assert await _passing(backend, _only("tags", "old")) == {"b"}
    assert await _passing(backend, _only("tags", "new")) == {"a"}
    assert await _passing(backend, _only("tags", "both")) == {"a", "b"}
    assert await _passing(backend, _published(NOON, NOON)) == set()
    assert await _passing(backend, _published(NOON + A_MICROSECOND, NOON + A_MICROSECOND)) == {"a"}
    await index_changes(writer, delete("a", offset=3))
    assert await _passing(backend, _only("tags", "both")) == {"b"}
    assert await _passing(backend, Filter(published=ANY_DATE)) == set()
    await _index(writer, [Document(id=DocumentId("b"), body="words")], offset=4)
    assert await _passing(backend, _only("tags", "both")) == set()
    assert await _passing(backend, EVERYTHING) == {"b"}


async def test_filters_outlive_many_commits(writer: IndexWriter, backend: SearchBackend) -> None:
    """However an index reorganises what many commits wrote, each document keeps its labels and its date."""
    for number in range(40):
        document = Document(
            id=DocumentId(f"d{number % 25}"),
            body="words",
            tags=(f"residue-{number % 3}",),
            published_at=NOON + number * A_MICROSECOND if number % 2 else None,
        )
        change: Change = Upsert(document, Position(0, number, EPOCH_MS + number))
        await index_changes(writer, change)
    newest_versions = {number % 25: number for number in range(40)}
    for residue in range(3):
        expected = {f"d{name}" for name, number in newest_versions.items() if number % 3 == residue}
        assert await _passing(backend, _only("tags", f"residue-{residue}")) == expected
    expected = {f"d{name}" for name, number in newest_versions.items() if number % 2 and 20 <= number <= 31}
    assert await _passing(backend, _published(NOON + 20 * A_MICROSECOND, NOON + 31 * A_MICROSECOND)) == expected


async def test_a_filter_changes_no_score(writer: IndexWriter, backend: SearchBackend) -> None:
    """The hits are those of the search without a filter, in the same order and with the same scores, but some less."""
    await _index(
        writer,
        [
            Document(
                id=DocumentId(f"d{number}"),
                body="needle " * (1 + number % 4) + f"in a haystack of {number} " + "straws " * (number % 7),
                title="needle" if number % 5 == 0 else "",
                tags=("odd",) if number % 2 else ("even",),
            )
            for number in range(24)
        ],
    )
    everything = await _search(backend, EVERYTHING, text="needle")
    for tag, remainder in (("odd", 1), ("even", 0)):
        expected = [hit for hit in everything.hits if int(hit.id[1:]) % 2 == remainder]
        answer = await _search(backend, _only("tags", tag), text="needle")
        assert [hit.id for hit in answer.hits] == [hit.id for hit in expected]
        assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in expected])
        assert answer.total == 12
        page = await _search(backend, _only("tags", tag), text="needle", limit=5)
        assert [hit.id for hit in page.hits] == [hit.id for hit in expected[:5]]


async def test_limit_and_total_with_a_filter(writer: IndexWriter, backend: SearchBackend) -> None:
    """A page holds as many as asked for of those that pass, and the total counts all of these."""
    documents = [
        Document(id=DocumentId(f"d{number:02}"), body="the very same words", tags=("third",) * (number % 3 == 0))
        for number in range(30)
    ]
    await _index(writer, documents)
    answer = await _search(backend, _only("tags", "third"), limit=4)
    assert [hit.id for hit in answer.hits] == ["d00", "d03", "d06", "d09"]
    assert answer.total == 10
    newest = await backend.newest(4, Deadline.after(SOON), _only("tags", "third"))
    assert [(hit.id, hit.score) for hit in newest.hits] == [
        (f"d{number:02}", EPOCH_MS + number) for number in (27, 24, 21, 18)
    ]
    assert newest.total == 10


async def test_nothing_found_has_a_watermark(writer: IndexWriter, backend: SearchBackend) -> None:
    """An answer with nothing in it still says how far the index has read."""
    await _index(writer, DOCUMENTS)
    answer = await _search(backend, _only("source", "nowhere"))
    assert (list(answer.hits), answer.total) == ([], 0)
    assert answer.watermark.offsets == {0: len(DOCUMENTS)}
    newest = await backend.newest(10, Deadline.after(SOON), _only("source", "nowhere"))
    assert (list(newest.hits), newest.total) == ([], 0)
    assert newest.watermark.offsets == {0: len(DOCUMENTS)}
