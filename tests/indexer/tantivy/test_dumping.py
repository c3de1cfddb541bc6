"""Windows of offsets over a Tantivy index."""

import pytest

from indexer.generation import Generation
from indexer.tantivy import TantivyWriter
from indexer.tantivy.dumping import stored_documents
from indexer.tantivy.schema import open_index
from tests.indexer.contract.changes import upsert, watermark_after


@pytest.mark.parametrize("window", [1, 2, 3, 7, 1_000])
def test_windows_of_any_size_find_each_document_once(generation: Generation, window: int) -> None:
    """Dense offsets, offsets shared by many partitions, and far apart ones as compaction leaves them."""
    places = [
        *((0, offset) for offset in range(40)),
        *((partition, 41) for partition in range(9)),
        *((0, 10**6 * step) for step in range(1, 6)),
    ]
    changes = [upsert(f"{p}:{o}", "body", offset=o, partition=p) for p, o in places]
    writer = TantivyWriter(generation)
    writer.apply(changes)
    writer.commit(watermark_after(*changes))
    writer.close()
    index = open_index(generation)
    found = [each.document.id for each in stored_documents(index.schema, index.searcher(), window=window)]
    assert sorted(found) == sorted(change.id for change in changes)
