"""The ids of hits: each is that of its document, however often it was asked for, and only so many are kept."""

import pytest
import tantivy

from indexer.generation import Generation
from indexer.tantivy import TantivyWriter
from indexer.tantivy.hit_ids import HitIds
from indexer.tantivy.schema import ID, open_index
from tests.indexer.tantivy.documents import upsert, watermark_after

SEGMENTS, DOCUMENTS = 2, 10


@pytest.fixture
def searcher(generation: Generation) -> tantivy.Searcher:
    """A snapshot of two segments, in which documents lie at the same places."""
    writer = TantivyWriter(generation)
    for segment in range(SEGMENTS):
        first = segment * DOCUMENTS
        changes = [*(upsert(f"d{number}", "text", offset=number) for number in range(first, first + DOCUMENTS))]
        writer.apply([*changes])
        writer.commit(watermark_after([*changes]))
    writer.close()
    return open_index(generation).searcher()


def _addresses(searcher: tantivy.Searcher) -> list[tantivy.DocAddress]:
    return [address for _, address in searcher.search(tantivy.Query.all_query(), limit=100).hits]


def test_ids_are_those_of_the_documents(searcher: tantivy.Searcher) -> None:
    """The marker's as well, which no query finds."""
    ids, addresses = HitIds(searcher), _addresses(searcher)
    assert len({address.segment_ord for address in addresses}) > 1
    expected = [searcher.doc(address)[ID][0] for address in addresses]
    assert len(set(expected)) == SEGMENTS * DOCUMENTS + 1
    for _ in range(2):
        assert [ids[address] for address in addresses] == expected
    assert len(ids) == len(expected)


def test_an_id_is_read_once(searcher: tantivy.Searcher) -> None:
    """To read it takes the whole stored document."""
    ids, address = HitIds(searcher), _addresses(searcher)[0]
    assert ids[address] is ids[address]


def test_so_many_are_kept(searcher: tantivy.Searcher) -> None:
    """What comes on top makes all others be read again."""
    ids, addresses = HitIds(searcher, limit=4), _addresses(searcher)
    sizes = []
    for address in addresses[:6]:
        assert ids[address] == searcher.doc(address)[ID][0]
        sizes.append(len(ids))
    assert sizes == [1, 2, 3, 4, 1, 2]
