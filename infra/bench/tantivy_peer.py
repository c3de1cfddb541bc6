"""The BM25 peer that keeps its index on disk: tantivy-py, as its documentation builds and asks an index.

It has its own English analysis and its own form of BM25, so that times can be compared and scores cannot.
"""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import tantivy

from infra.bench.building import Build, Stopwatch, batches, folder_size, text_size
from infra.bench.timing import Contender
from streams.document import Document

FIELDS = ["title", "body"]

_MEMORY_BYTES = 128_000_000


def build_tantivy(folder: Path, documents: Iterable[Document]) -> tuple[tantivy.Index, Build]:
    """Index titles and bodies in one thread, and wait for its merges.

    Args:
        folder: for its files; made.
        documents: to index.
    """
    folder.mkdir()
    watch = Stopwatch()
    with watch.running():
        index = tantivy.Index(_schema(), path=str(folder))
        writer = index.writer(heap_size=_MEMORY_BYTES, num_threads=1)
    count = text_bytes = 0
    for batch in batches(documents):
        with watch.running():
            for document in batch:
                writer.add_document(tantivy.Document(id=document.id, title=document.title, body=document.body))
        count += len(batch)
        text_bytes += sum(map(text_size, batch))
    with watch.running():
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
    return index, Build(count, text_bytes, watch.seconds, watch.cpu_seconds, folder_size(folder))


def tantivy_peers(index: tantivy.Index, limit: int) -> list[Contender[str]]:
    """Its default search, which counts all matches as ours does, and the one that does not count."""
    searcher = index.searcher()
    name = f"tantivy {version('tantivy')}"

    def counting(query: str) -> object:
        return searcher.search(index.parse_query(_words(query), FIELDS), limit)

    def not_counting(query: str) -> object:
        return searcher.search(index.parse_query(_words(query), FIELDS), limit, count=False)

    return [Contender(name, counting), Contender("tantivy, count=False", not_counting)]


def _words(query: str) -> str:
    """The words as a bag: what its analysis splits, as `get_user`, would be a phrase, which is another question.

    Lower case, since `AND` and `OR` are operators to its parser; its analysis ignores case anyway.
    """
    return query.replace("_", " ").lower()


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="en_stem")
    return builder.build()
