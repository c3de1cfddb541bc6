"""Every document of a Tantivy snapshot, without holding more than some thousand of them.

Tantivy gives the best hits of a query and keeps as many in memory as are asked for. So the documents are asked for by
the offsets of their records, a window of offsets at a time; the windows widen where offsets are sparse, as they are
after compaction, and narrow where many partitions share them.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import tantivy

from indexer.tantivy.schema import OFFSET, STORED
from streams.change import StoredDocument

WINDOW_DOCUMENTS: Final = 10_000

_decoder = msgspec.json.Decoder(StoredDocument)


def stored_documents(
    schema: tantivy.Schema, searcher: tantivy.Searcher, *, window: int = WINDOW_DOCUMENTS
) -> Iterator[StoredDocument]:
    """The documents of a snapshot, the marker left out.

    Args:
        schema: of the index.
        searcher: the snapshot.
        window: how many addresses of documents to hold at most.
    """
    newest = _newest_offset(searcher)
    start, width = 0, window
    while start <= newest:
        within = tantivy.Query.range_query(schema, OFFSET, tantivy.FieldType.Integer, start, start + width - 1)
        total, addresses = _addresses(searcher, within, window)
        if total > window and width > 1:
            width //= 2
            continue
        if total > window:  # more partitions than a window has room, or copies of one document
            _, addresses = _addresses(searcher, within, total)
        for address in addresses:
            yield _decoder.decode(searcher.doc(address)[STORED][0])
        start += width
        if total <= window // 4:
            width *= 2


def _newest_offset(searcher: tantivy.Searcher) -> int:
    """The largest offset of a record, or -1 where there is no document."""
    hits = searcher.search(tantivy.Query.all_query(), limit=1, count=False, order_by_field=OFFSET).hits
    offset = hits[0][0] if hits else None
    return -1 if offset is None else int(offset)


def _addresses(
    searcher: tantivy.Searcher, query: tantivy.Query, limit: int
) -> tuple[int, Sequence[tantivy.DocAddress]]:
    result = searcher.search(query, limit=limit)
    return int(result.count), [address for _, address in result.hits]  # type: ignore[attr-defined]  # the stub leaves it out
