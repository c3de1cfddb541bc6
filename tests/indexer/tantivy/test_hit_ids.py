"""The ids of hits: each is that of its document, however often it was asked for, and only so many are kept."""

from collections.abc import Iterator

import pytest
import tantivy

from indexer.generation import Generation
from indexer.tantivy import TantivyWriter
from indexer.tantivy.hit_ids import HitIds, packed
from indexer.tantivy.schema import ID, open_index
from streams.change import Change, Position
from tests.indexer.tantivy.documents import delete, upsert, watermark_after

SEGMENTS, DOCUMENTS = 2, 10


@pytest.fixture
def writer(generation: Generation) -> Iterator[TantivyWriter]:
    """Of two segments, in which documents lie at the same places."""
    made = TantivyWriter(generation)
    for segment in range(SEGMENTS):
        first = segment * DOCUMENTS
        changes = [upsert(f"d{number}", "text", offset=number) for number in range(first, first + DOCUMENTS)]
        made.apply(changes)
        made.commit(watermark_after([*changes]))
    yield made
    made.close()


@pytest.fixture
def searcher(generation: Generation, writer: TantivyWriter) -> tantivy.Searcher:  # noqa: ARG001 - makes the files
    """A snapshot of them."""
    return open_index(generation).searcher()


class Unread:
    """A snapshot whose stored documents nobody may read."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self.fast_field_values = searcher.fast_field_values


def _addresses(searcher: tantivy.Searcher) -> list[tantivy.DocAddress]:
    return [address for _, address in searcher.search(tantivy.Query.all_query(), limit=100).hits]


def _stored(searcher: tantivy.Searcher) -> list[str]:
    return [searcher.doc(address)[ID][0] for address in _addresses(searcher)]


def test_ids_are_those_of_the_documents(searcher: tantivy.Searcher) -> None:
    """The marker's as well, which no query finds: it comes from no record, and is not remembered."""
    ids, addresses, expected = HitIds(), _addresses(searcher), _stored(searcher)
    assert len({address.segment_ord for address in addresses}) > 1
    assert len(set(expected)) == SEGMENTS * DOCUMENTS + 1
    for _ in range(2):
        assert ids.of(searcher, addresses) == expected
    assert len(ids) == len(expected) - 1
    assert ids.of(searcher, []) == []


def test_what_is_remembered_outlives_a_commit(
    generation: Generation, searcher: tantivy.Searcher, writer: TantivyWriter
) -> None:
    """Documents lie elsewhere then, and another one may lie where one of them was; only what is new is read."""
    ids, before = HitIds(), _addresses(searcher)
    ids.of(searcher, before)
    changes: list[Change] = [
        delete("d3", offset=30),
        upsert("d4", "again", offset=31),
        upsert("new", "text", offset=32),
    ]
    writer.apply(changes)
    writer.commit(watermark_after(changes))
    later = open_index(generation).searcher()
    known = [
        each
        for each, name in zip(_addresses(later), _stored(later), strict=True)
        if name not in {"d4", "new", "\0watermark"}
    ]
    assert len(known) == SEGMENTS * DOCUMENTS - 2
    assert ids.of(Unread(later), known) == [later.doc(each)[ID][0] for each in known]  # type: ignore[arg-type]
    assert ids.of(later, _addresses(later)) == _stored(later)


def test_so_many_are_kept(searcher: tantivy.Searcher) -> None:
    """What comes on top makes all others be read again."""
    ids, sizes = HitIds(limit=4), []
    documents = [each for each, name in zip(_addresses(searcher), _stored(searcher), strict=True) if name[0] == "d"]
    for address in documents[:6]:
        assert ids.of(searcher, [address]) == [searcher.doc(address)[ID][0]]
        sizes.append(len(ids))
    assert sizes == [1, 2, 3, 4, 1, 2]


def test_positions_are_told_apart() -> None:
    """Of different partitions too; one that does not fit is none, and not another's."""
    places = [Position(0, 0, 0), Position(0, 1, 0), Position(1, 0, 0), Position(2**20 - 1, 2**44 - 1, 0)]
    assert len({packed(each) for each in places}) == len(places)
    assert packed(Position(2**20, 0, 0)) is None
    assert packed(Position(0, 2**44, 0)) is None


def test_a_document_from_beyond_is_found_all_the_same(generation: Generation, writer: TantivyWriter) -> None:
    """Its id is read each time."""
    change = upsert("far", "unheard", offset=2**44)
    writer.apply([change])
    writer.commit(watermark_after([change]))
    searcher, ids = open_index(generation).searcher(), HitIds()
    assert sorted(ids.of(searcher, _addresses(searcher))) == sorted(_stored(searcher))
    assert "far" in _stored(searcher)
