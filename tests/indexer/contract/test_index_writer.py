"""What every index writer must do, whatever it writes to."""

import pytest

from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.dump import content_hash
from indexer.writer import IndexWriter
from streams.change import Change
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.contract.harness import SOON, Index, fetch, found, index_changes, newest, search


async def test_new_index_has_read_nothing(writer: IndexWriter) -> None:
    """The watermark of a new index is empty."""
    assert (await writer.watermark()).offsets == {}


async def test_nothing_is_visible_before_the_commit(writer: IndexWriter, backend: SearchBackend) -> None:
    """Applied changes cannot be seen in any way until they are committed."""
    await index_changes(writer, upsert("a", "first words", offset=0))
    await writer.apply([upsert("b", "second words", offset=1), delete("a", offset=2)])
    assert await found(backend, "words") == ["a"]
    assert await newest(backend) == ["a"]
    assert set(await fetch(backend, ["a", "b"])) == {"a"}
    assert (await backend.watermark(Deadline.after(SOON))).offsets == {0: 1}
    assert (await writer.watermark()).offsets == {0: 1}


async def test_data_and_watermark_appear_together(writer: IndexWriter, backend: SearchBackend) -> None:
    """The answer that first shows a change carries the watermark of its commit."""
    change = upsert("a", "some words", offset=41)
    await index_changes(writer, change)
    answer = await search(backend, "words")
    assert [hit.id for hit in answer.hits] == ["a"]
    assert answer.watermark == watermark_after(change)
    assert (await backend.stats(Deadline.after(SOON))).watermark == watermark_after(change)
    assert await backend.watermark(Deadline.after(SOON)) == watermark_after(change)
    assert await writer.watermark() == watermark_after(change)


async def test_commit_without_changes_moves_the_watermark(writer: IndexWriter, backend: SearchBackend) -> None:
    """Records that change nothing, as dead letters do, still count as read."""
    await writer.commit(Watermark(cluster="tests", offsets={0: 5, 3: 9}))
    assert (await writer.watermark()).offsets == {0: 5, 3: 9}
    assert (await backend.stats(Deadline.after(SOON))).watermark.offsets == {0: 5, 3: 9}
    assert (await backend.watermark(Deadline.after(SOON))).offsets == {0: 5, 3: 9}


async def test_upsert_replaces(writer: IndexWriter, backend: SearchBackend) -> None:
    """A document's new version takes the place of the one before."""
    await index_changes(writer, upsert("a", "olden words", offset=0), upsert("b", "other words", offset=1))
    await index_changes(writer, upsert("a", "newer words", offset=2))
    assert sorted(await found(backend, "words")) == ["a", "b"]
    assert (await fetch(backend, ["a"]))["a"].document.body == "newer words"
    assert (await backend.stats(Deadline.after(SOON))).documents == 2


async def test_old_words_are_gone(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """A document is not found by what an earlier version said."""
    await index_changes(writer, upsert("a", "olden words", offset=0))
    await index_changes(writer, upsert("a", "newer words", offset=1))
    if index.matches_words:
        assert await found(backend, "olden") == []
        assert await found(backend, "newer") == ["a"]


async def test_changes_of_one_document_in_one_commit(writer: IndexWriter, backend: SearchBackend) -> None:
    """Of several versions applied before a commit, the last one counts."""
    await writer.apply([upsert("a", "first words", offset=0), upsert("b", "words to go", offset=1)])
    await writer.apply([upsert("a", "second words", offset=2), delete("b", offset=3)])
    await writer.apply([delete("a", offset=4)])
    await index_changes(writer, upsert("a", "third words", offset=5))
    assert await found(backend, "words") == ["a"]
    assert (await fetch(backend, ["a", "b"]))["a"].document.body == "third words"
    assert (await backend.stats(Deadline.after(SOON))).documents == 1


async def test_a_repair_replaces_whatever_is_there(index: Index, writer: IndexWriter) -> None:
    """Behind the watermark, in the same version, and in a newer one; the watermark and all other documents stay."""
    others = [upsert(f"other{number}", "other words", offset=number) for number in range(3)]
    wrong = [upsert("same", "wrong words", offset=4), upsert("newer", "wrong words", offset=5)]
    ghosts = [upsert("ghost", "ghost words", offset=3), upsert("deleted", "ghost words", offset=6)]
    await index_changes(writer, *others, *sorted([*wrong, *ghosts], key=lambda each: each.position.offset))
    watermark = await writer.watermark()
    right = [
        upsert("same", "right words", offset=4),
        upsert("newer", "right words", offset=1),
        upsert("new", "x", offset=2),
    ]
    assert not await writer.repair([*right, delete("ghost", offset=-1), delete("deleted", offset=0)])
    async with index.open_dump() as dump:
        assert {each.id for batch in [b async for b in dump.batches()] for each in batch}.isdisjoint({"new"})
    await writer.commit(watermark)
    async with index.open_dump() as dump:
        assert dump.watermark == watermark
        held = {each.id: (each.offset, each.content) for batch in [b async for b in dump.batches()] for each in batch}
    assert held == {c.id: (c.position.offset, content_hash(c.document)) for c in [*others, *right]}
    await index_changes(writer, upsert("same", "newest words", offset=9))
    await writer.repair([])
    await writer.commit(await writer.watermark())


async def test_delete_removes(writer: IndexWriter, backend: SearchBackend) -> None:
    """A deleted document is in no answer, and an unknown one is deleted without harm."""
    await index_changes(writer, upsert("a", "some words", offset=0), upsert("b", "more words", offset=1))
    await index_changes(writer, delete("a", offset=2), delete("never there", offset=3))
    assert await found(backend, "words") == ["b"]
    assert await newest(backend) == ["b"]
    assert set(await fetch(backend, ["a", "b"])) == {"b"}
    assert (await backend.stats(Deadline.after(SOON))).documents == 1


async def test_deleted_document_can_come_back(writer: IndexWriter, backend: SearchBackend) -> None:
    """An upsert after a delete puts the document again."""
    await index_changes(writer, upsert("a", "some words", offset=0))
    await index_changes(writer, delete("a", offset=1))
    await index_changes(writer, upsert("a", "back with words", offset=2))
    assert await found(backend, "words") == ["a"]


async def test_older_versions_are_ignored(writer: IndexWriter, backend: SearchBackend) -> None:
    """What was read before the stored version of a document changes nothing, whether applied or committed already."""
    await index_changes(writer, upsert("a", "newest words", offset=5))
    await writer.apply([upsert("b", "kept words", offset=7)])
    stale: list[Change] = [
        upsert("a", "stale words", offset=3),
        delete("a", offset=4),
        upsert("a", "same offset", offset=5),
    ]
    await writer.apply(stale)
    await writer.apply([delete("b", offset=6)])
    await writer.commit(Watermark(cluster="tests", offsets={0: 8}))
    assert sorted(await found(backend, "words")) == ["a", "b"]
    assert (await fetch(backend, ["a"]))["a"].document.body == "newest words"


async def test_stored_version_counts_beside_the_watermark(writer: IndexWriter, backend: SearchBackend) -> None:
    """An older version is ignored for the stored one's own sake, even if the watermark has not come so far."""
    await writer.apply([upsert("a", "newest words", offset=5), upsert("b", "older words", offset=2)])
    await writer.commit(Watermark(cluster="tests", offsets={0: 1}))
    await writer.apply([upsert("a", "stale words", offset=3), upsert("b", "newer words", offset=4)])
    await writer.apply([delete("a", offset=5)])
    await writer.commit(Watermark(cluster="tests", offsets={0: 6}))
    stored = await fetch(backend, ["a", "b"])
    assert {name: each.document.body for name, each in stored.items()} == {"a": "newest words", "b": "newer words"}


async def test_replay_changes_nothing(writer: IndexWriter, backend: SearchBackend) -> None:
    """Reading everything once more leaves the index as it was, deleted documents too."""
    history: list[Change] = [
        upsert("a", "some words", offset=0),
        upsert("b", "more words", offset=1),
        delete("a", offset=2),
    ]
    await index_changes(writer, *history)
    for change in history:
        await writer.apply([change])
    await writer.commit(watermark_after(*history))
    assert await found(backend, "words") == ["b"]
    assert (await backend.stats(Deadline.after(SOON))).documents == 1


async def test_partitions_are_independent(writer: IndexWriter, backend: SearchBackend) -> None:
    """Offsets of different partitions are not compared."""
    await index_changes(writer, upsert("a", "first words", offset=100, partition=0))
    await index_changes(writer, upsert("b", "second words", offset=3, partition=1))
    assert sorted(await found(backend, "words")) == ["a", "b"]


async def test_reopened_writer_goes_on(index: Index) -> None:
    """A writer opened later has the watermark of the last commit, and nothing of what was applied after it."""
    change = upsert("a", "some words", offset=0)
    first = await index.open_writer()
    await index_changes(first, change)
    await first.apply([upsert("b", "lost words", offset=1), delete("a", offset=2)])
    await first.close()
    second = await index.open_writer()
    backend = await index.open_backend()
    try:
        assert await second.watermark() == watermark_after(change)
        assert await found(backend, "words") == ["a"]
        await index_changes(second, upsert("c", "later words", offset=1))
        assert sorted(await found(backend, "words")) == ["a", "c"]
    finally:
        await second.close()
        await backend.close()


@pytest.mark.parametrize("size", [1, 7])
async def test_many_small_commits(writer: IndexWriter, backend: SearchBackend, size: int) -> None:
    """However changes are cut into commits, and whatever is merged on the way, each document is there once."""
    changes = [upsert(f"d{number % 50:02d}", f"words {number}", offset=number) for number in range(120)]
    for start in range(0, len(changes), size):
        await index_changes(writer, *changes[start : start + size])
    stored = await fetch(backend, [f"d{number:02d}" for number in range(50)])
    latest = {change.id: change.document.body for change in changes}
    assert {name: document.document.body for name, document in stored.items()} == latest
    assert (await backend.stats(Deadline.after(SOON))).documents == 50
    assert sorted(await found(backend, "words", limit=100)) == sorted(latest)
