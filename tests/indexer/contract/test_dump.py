"""What every index tells of all that it holds."""

import msgspec
import pytest

from indexer.dump import DumpedDocument, IndexDump, content_hash
from indexer.errors import BackendUnavailable
from indexer.writer import IndexWriter
from streams.change import Upsert
from streams.document import Document, DocumentId
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.contract.harness import Index, index_changes


async def dumped(dump: IndexDump) -> list[DumpedDocument]:
    """All of it, in the order of ids."""
    return sorted([document async for batch in dump.batches() for document in batch])


def expected(*changes: Upsert) -> list[DumpedDocument]:
    """What these versions look like."""
    return [
        DumpedDocument(c.id, c.position.partition, c.position.offset, content_hash(c.document))
        for c in sorted(changes, key=lambda change: change.id)
    ]


async def test_a_dump_has_each_document_once_in_its_newest_version(index: Index, writer: IndexWriter) -> None:
    """With the position and the content that the topic has, whatever came before, and without what was deleted."""
    first = [upsert(f"d{number}", f"body of {number}", offset=number) for number in range(20)]
    await index_changes(writer, *first)
    replaced = upsert("d3", "another body\nwith ünïcödé", title="Title", offset=21)
    elsewhere = upsert("d4", "from another partition", offset=2, partition=1)
    last = delete("d5", offset=22)
    await index_changes(writer, replaced, elsewhere, last)
    async with index.open_dump() as dump:
        assert dump.watermark == watermark_after(replaced, elsewhere, last)
        assert await dumped(dump) == expected(*first[:3], replaced, elsewhere, *first[6:])


async def test_a_dump_is_one_snapshot(index: Index, writer: IndexWriter) -> None:
    """What is committed while it is read is not in it, nor is its watermark."""
    before = [upsert(name, f"body of {name}", offset=number) for number, name in enumerate("abc")]
    await index_changes(writer, *before)
    async with index.open_dump() as dump:
        await index_changes(writer, upsert("a", "newer", offset=3), delete("b", offset=4), upsert("d", "x", offset=5))
        assert dump.watermark == watermark_after(*before)
        assert await dumped(dump) == expected(*before)


async def test_an_empty_index_has_an_empty_dump(index: Index, writer: IndexWriter) -> None:
    """Before the first document, and after the last."""
    await index_changes(writer, delete("a", offset=0))
    async with index.open_dump() as dump:
        assert await dumped(dump) == []


async def test_an_index_that_was_not_built_says_so(index: Index) -> None:
    """It is unavailable, as for a search."""
    with pytest.raises(BackendUnavailable):
        async with index.open_dump():
            pass


def test_a_content_is_what_a_client_gets() -> None:
    """Any field makes another content; the order of names in metadata does not."""
    document = Document(id=DocumentId("a"), body="b", metadata={"x": 1, "y": 2.0})
    same = Document(id=DocumentId("a"), body="b", metadata={"y": 2.0, "x": 1})
    assert content_hash(document) == content_hash(same)
    others = [
        msgspec.structs.replace(document, title="t"),
        msgspec.structs.replace(document, body="c"),
        msgspec.structs.replace(document, tags=("t",)),
        msgspec.structs.replace(document, url="u"),
        msgspec.structs.replace(document, metadata={"x": 1, "y": 2}),
    ]
    assert len({content_hash(each) for each in (document, *others)}) == len(others) + 1
