"""A filter lets pass what a plain look at the documents lets pass, whatever happened to the index before."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable
from indexer.filtering import EVERYTHING, Filter, Label, Period, label, labels_of, microseconds, published_us
from indexer.generation import Generation, open_or_create_live
from indexer.registry import LOCAL_ENGINES
from indexer.segment import Segment, Snapshot
from indexer.segment.filters import UNDATED
from streams.change import Change, Delete, Position, Upsert
from streams.document import Document, DocumentId, Scalar
from streams.settings import Settings
from streams.watermark import Watermark
from tests.indexer.segment.engine import Lengths, new_generation, open_reader, open_writer

ENGINES = ["bm25", "native"]
SOON = 60.0
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
EVER = Period(-(2**63), 2**63 - 1)

Condition = tuple[str, Scalar]
"""A field and a value."""

IDS = st.sampled_from([DocumentId(f"d{number}") for number in range(20)])
MOMENTS = st.integers(0, 4).map(lambda microsecond: NOON + timedelta(microseconds=microsecond))
NUMBERS = st.sampled_from([1, 1.0, 0.5, "1", True, None])
TEXTS = st.lists(st.sampled_from(["circuit", "breaker", "the circuit"]), max_size=4).map(" ".join)
DOCUMENTS = st.builds(
    Document,
    id=IDS,
    body=TEXTS.map("common {}".format),
    title=TEXTS,
    source=st.sampled_from(["", "a", "b"]),
    tags=st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
    language=st.sampled_from(["", "en", "en-US", "de"]),
    published_at=st.none() | MOMENTS,
    metadata=st.dictionaries(st.sampled_from(["n", "m"]), NUMBERS),
)
CONDITIONS: st.SearchStrategy[Condition] = st.one_of(
    st.tuples(st.just("source"), st.sampled_from("ab")),
    st.tuples(st.just("tags"), st.sampled_from("abcd")),
    st.tuples(st.just("language"), st.sampled_from(["en", "EN-us", "de"])),
    st.tuples(st.sampled_from(["metadata.n", "metadata.m"]), NUMBERS),
)
GROUPS = st.lists(st.lists(CONDITIONS, min_size=1, max_size=4), max_size=2)
PERIODS = st.none() | st.just(EVER) | st.builds(Period, MOMENTS.map(microseconds), MOMENTS.map(microseconds))


def _meets(document: Document, condition: Condition) -> bool:
    """Whether a document has a value in a field, as one reads it."""
    field, value = condition
    if field == "source":
        return document.source == value
    if field == "tags":
        return value in document.tags
    if field == "language":
        return f"{document.language}-".lower().startswith(f"{value}-".lower())
    held = document.metadata.get(field.removeprefix("metadata."), "nothing of the kind")
    return held == value and isinstance(held, bool) == isinstance(value, bool)


def _passes(document: Document, groups: Sequence[Sequence[Condition]], published: Period | None) -> bool:
    if not all(any(_meets(document, condition) for condition in group) for group in groups):
        return False
    moment = None if document.published_at is None else microseconds(document.published_at)
    return published is None or (moment is not None and published.first <= moment <= published.last)


def _any_of(*conditions: Condition) -> frozenset[Label]:
    return frozenset(label(field, value) for field, value in conditions)


class AgainstPlainFilter(RuleBasedStateMachine):
    """Drives an index and a list of its documents together; a filter must let pass the same of both."""

    @initialize(
        engine=st.sampled_from(ENGINES),
        documents=st.lists(DOCUMENTS, min_size=12, unique_by=lambda document: document.id),
    )
    def create(self, engine: str, documents: list[Document]) -> None:
        """Begin with one segment."""
        local = LOCAL_ENGINES[engine]
        self.root = Path(tempfile.mkdtemp())
        self.generation = open_or_create_live(self.root, local.settings(Settings()))
        self.writer = local.writer(self.generation)
        self.searcher = local.searcher(self.generation)
        self.written: dict[DocumentId, Upsert] = {}
        self.offset = 0
        self.commit(documents, [])

    @rule(documents=st.lists(DOCUMENTS, max_size=3), deleted=st.lists(IDS, max_size=1))
    def commit(self, documents: list[Document], deleted: list[DocumentId]) -> None:
        """Put and delete some documents, in one segment."""
        for document in documents:
            self._apply(Upsert(document, self._position()))
        for document_id in deleted:
            self._apply(Delete(document_id, self._position()))
        self.writer.commit(Watermark(offsets={0: self.offset}))

    @rule(documents=st.lists(DOCUMENTS, min_size=8, max_size=8))
    def commit_one_by_one(self, documents: list[Document]) -> None:
        """Make as many segments as are merged at a time, while some of their documents are replaced."""
        for document in documents:
            self.commit([document], [])

    @rule(groups=GROUPS, published=PERIODS, text=st.sampled_from(["common", "circuit"]), limit=st.sampled_from([2, 50]))
    def ask(self, groups: list[list[Condition]], published: Period | None, text: str, limit: int) -> None:
        """Hits and their scores are those of the search without the filter, as far as they pass; totals count these."""
        only = Filter(tuple(_any_of(*group) for group in groups), published)
        passing = {name for name, put in self.written.items() if _passes(put.document, groups, published)}
        expected = [(hit.id, hit.score) for hit in self._search(text, 50, EVERYTHING).hits if hit.id in passing]
        answer = self._search(text, limit, only)
        assert [(hit.id, hit.score) for hit in answer.hits] == expected[:limit]
        assert (answer.total, answer.total_relation) == (len(expected), "eq")
        times = {name: self.written[name].position.timestamp_ms for name in passing}
        newest = self.searcher.newest(limit, Deadline.after(SOON), only)
        assert [hit.id for hit in newest.hits] == sorted(times, key=times.__getitem__, reverse=True)[:limit]
        assert newest.total == len(passing)

    def teardown(self) -> None:
        """Remove the files."""
        self.writer.close()
        self.searcher.close()
        shutil.rmtree(self.root)

    def _apply(self, change: Change) -> None:
        self.writer.apply([change])
        self.written.pop(change.id, None)
        if isinstance(change, Upsert):
            self.written[change.id] = change

    def _position(self) -> Position:
        self.offset += 1
        return Position(0, self.offset - 1, self.offset)

    def _search(self, text: str, limit: int, only: Filter) -> Answer:
        return self.searcher.search(Query(text, limit, Deadline.after(SOON), only))


TestAgainstPlainFilter = AgainstPlainFilter.TestCase
TestAgainstPlainFilter.settings = settings(
    max_examples=30, stateful_step_count=10, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def _document(number: int) -> Document:
    return Document(
        id=DocumentId(f"d{number}"),
        body="words",
        source=f"source {number % 3}",
        tags=(f"tag {number}", "everywhere"),
        published_at=NOON + timedelta(microseconds=number) if number % 4 else None,
    )


def _upsert(number: int) -> Upsert:
    return Upsert(_document(number), Position(0, number, number))


def _kept_filters(snapshot: Snapshot[Lengths]) -> dict[DocumentId, tuple[set[int], int | None]]:
    """What live documents can be found by, as their segments keep it."""
    kept: dict[DocumentId, tuple[set[int], int | None]] = {}
    for segment in snapshot.segments:
        filters = segment.filters
        for ordinal in np.flatnonzero(segment.kept).tolist():
            labels = {int(key) for key in filters.labels.keys if ordinal in filters.labels.find(int(key))[:, 0]}
            published = int(filters.published[ordinal])
            kept[segment.documents.id(ordinal)] = (labels, None if published == UNDATED else published)
    return kept


def _passing(segment: Segment[Lengths], only: Filter) -> list[int]:
    passing = segment.passing(only)
    assert passing is not None
    return np.flatnonzero(passing).tolist()


def test_a_merge_keeps_filters(tmp_path: Path) -> None:
    """A merged segment finds each document by what it was found by before, and keeps no label of the deleted ones."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    for first in range(0, 40, 5):
        writer.apply([_upsert(number) for number in range(first, first + 5)])
        earlier = (first - 5, first - 3)
        writer.apply([Delete(DocumentId(f"d{number}"), Position(0, 100 + number, 0)) for number in earlier])
        writer.commit(Watermark(offsets={0: first + 5}))
    writer.settle()
    snapshot = reader.current()
    assert len(snapshot.segments) == 1
    assert snapshot.segments[0].live is None
    documents = [_document(number) for number in range(40) if number % 5 not in {0, 2} or number >= 35]
    assert _kept_filters(snapshot) == {each.id: (labels_of(each), published_us(each)) for each in documents}
    assert set(snapshot.segments[0].filters.labels.keys.tolist()) == set().union(*map(labels_of, documents))
    writer.close()


def test_deleted_documents_do_not_pass(tmp_path: Path) -> None:
    """Neither through a filter nor without one, as long as their segment still holds them."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    only = Filter((_any_of(("source", "source 0")),))
    writer.apply([_upsert(number) for number in range(8)])
    writer.commit(Watermark(offsets={0: 8}))
    before = reader.current().segments[0]
    assert before.passing(EVERYTHING) is None
    assert _passing(before, only) == [0, 3, 6]
    writer.apply([Delete(DocumentId("d3"), Position(0, 8, 8)), Delete(DocumentId("d4"), Position(0, 9, 9))])
    writer.commit(Watermark(offsets={0: 10}))
    after = reader.current().segments[0]
    assert _passing(after, EVERYTHING) == [0, 1, 2, 5, 6, 7]
    assert _passing(after, only) == [0, 6]
    assert _passing(after, Filter(published=EVER)) == [1, 2, 5, 6, 7]
    writer.close()


MANY = 20_000
"""Documents whose filter sections have pages of their own."""


@pytest.fixture(params=ENGINES)
def many(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Generation]:
    """An engine, and a generation of one large segment."""
    local = LOCAL_ENGINES[request.param]
    generation = open_or_create_live(tmp_path, local.settings(Settings()))
    writer = local.writer(generation)
    writer.apply([_upsert(number) for number in range(MANY)])
    writer.commit(Watermark(offsets={0: MANY}))
    writer.close()
    return request.param, generation


@pytest.mark.parametrize(
    ("section", "written", "only"),
    [
        ("filter.keys", label("tags", "tag 9999"), Filter((_any_of(("tags", "tag 9999")),))),
        ("filter.published", microseconds(NOON) + 9_999, Filter(published=Period(0, 1))),
    ],
)
def test_damage_of_filters_is_found(many: tuple[str, Generation], section: str, written: int, only: Filter) -> None:
    """A search that needs what was damaged is refused and names it, others go on, and the writer is told."""
    engine, generation = many
    path = next(generation.directory.glob("*.segment"))
    sound, number = path.read_bytes(), written.to_bytes(8, "little")
    assert sound.count(number) == 1
    path.unlink()
    path.write_bytes(sound.replace(number, bytes([number[0] ^ 1]) + number[1:]))
    searcher = LOCAL_ENGINES[engine].searcher(generation)
    asking: list[Callable[[Filter], Answer]] = [
        lambda only: searcher.search(Query("words", 10, Deadline.after(SOON), only)),
        lambda only: searcher.newest(10, Deadline.after(SOON), only),
    ]
    for ask in asking:
        assert ask(EVERYTHING).total == MANY
        assert list(generation.directory.glob("*.suspect")) == []
        with pytest.raises(BackendUnavailable, match=rf"{path.name}: page \d+ of .*'{section}'"):
            ask(only)
        generation.directory.joinpath(f"{path.name}.suspect").unlink()
    assert [each.file for each in LOCAL_ENGINES[engine].find_damage(generation)] == [path]
    searcher.close()
