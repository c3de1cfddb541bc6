"""What every search backend must do, whatever it searches."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.writer import IndexWriter
from streams.change import Position, StoredDocument, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark
from tests.indexer.contract.changes import EPOCH_MS, upsert, watermark_after
from tests.indexer.contract.harness import SOON, Index, fetch, found, index_changes, newest, search

A_TEST_RUN_SECONDS = 3_600

TEXTS = {
    "ascii": "plain text",
    "nul": "before\0after",
    "controls": "tab\tcarriage\rescape\x1b bell\a",
    "newlines": "one\n\ntwo\r\nthree\u2028four",
    "four bytes": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🏳️\u200d🌈 𠜎",
    "combining": "e\u0301 и\u0306 हिन्दी",
    "right to left": "שלום مرحبا \u202eabc",
    "case": "ſ ß ẞ \u212a İ ı Σςσ",
    "noncharacters": "\ufffe\uffff\U0010ffff\ufeff",
    "one mebibyte": "0123456789abcde\n" * 65_536,
}


async def test_empty_index_answers(backend: SearchBackend) -> None:
    """An index without documents finds none, and does not fail."""
    answer = await search(backend, "anything")
    assert (list(answer.hits), answer.total, answer.total_relation) == ([], 0, "eq")
    assert await newest(backend) == []
    assert await fetch(backend, ["a"]) == {}
    assert (await backend.stats(Deadline.after(SOON))).documents == 0


async def test_stats_tell_the_state(writer: IndexWriter, backend: SearchBackend) -> None:
    """The stats name the generation and its age, count documents, and know what they take."""
    change = upsert("a", "some words", offset=0)
    await index_changes(writer, change)
    stats = await backend.stats(Deadline.after(SOON))
    assert stats.generation
    assert 0 < time.time() - stats.created_at < A_TEST_RUN_SECONDS
    assert stats.documents == 1
    assert stats.size_bytes > 0
    assert stats.watermark == watermark_after(change)


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS.keys())
async def test_fetch_returns_what_was_put(writer: IndexWriter, backend: SearchBackend, body: str) -> None:
    """A document comes back as it went in, every field and every character of it."""
    document = Document(
        id=DocumentId("päth/to 🏳️#1"),
        body=body,
        title="Ein Títle",
        url="https://example.org/?q=1",
        source="tests",
        tags=("b", "a"),
        language="de",
        published_at=datetime(2024, 1, 31, 12, tzinfo=UTC),
        metadata={"n": 1, "x": 1.5, "t": True, "none": None, "s": "é"},
    )
    position = Position(3, 17, EPOCH_MS)
    await index_changes(writer, Upsert(document, position))
    assert await fetch(backend, [document.id, "unknown"]) == {document.id: StoredDocument(document, position)}


async def test_fetch_of_many(writer: IndexWriter, backend: SearchBackend) -> None:
    """Documents are found by id among many, in whichever commit they came."""
    changes = [upsert(f"id-{number}", f"body {number}", offset=number) for number in range(300)]
    for start in range(0, 300, 100):
        await index_changes(writer, *changes[start : start + 100])
    wanted = [f"id-{number}" for number in range(0, 300, 37)]
    stored = await fetch(backend, [*wanted, "id-300", "id"])
    assert {name: each.document.body for name, each in stored.items()} == {
        name: f"body {name.removeprefix('id-')}" for name in wanted
    }


async def test_newest_first(writer: IndexWriter, backend: SearchBackend) -> None:
    """The newest documents are those of the newest records; the score is the record's time."""
    await index_changes(writer, *(upsert(name, "words", offset=at) for at, name in enumerate("cadb")))
    await index_changes(writer, upsert("a", "words again", offset=9))
    assert await newest(backend) == ["a", "b", "d", "c"]
    answer = await backend.newest(2, Deadline.after(SOON))
    assert [(hit.id, hit.score) for hit in answer.hits] == [("a", EPOCH_MS + 9), ("b", EPOCH_MS + 3)]
    assert answer.total == 4


async def test_newest_ties_by_id(writer: IndexWriter, backend: SearchBackend) -> None:
    """Documents of the same time are ordered by id."""
    position = Position(0, 0, EPOCH_MS)
    changes = [
        Upsert(Document(id=DocumentId(name), body="words"), Position(0, at, position.timestamp_ms))
        for at, name in enumerate("dbeca")
    ]
    await index_changes(writer, *changes)
    assert await newest(backend, limit=3) == ["a", "b", "c"]


async def test_ties_by_id(writer: IndexWriter, backend: SearchBackend) -> None:
    """Equal scores are ordered by id, so a larger limit only adds to what a smaller one gives."""
    names = ["z", "é", "B", "a", "m", "zz", "b"]
    for at, name in enumerate(names):
        await index_changes(writer, upsert(name, "the very same words", offset=at))
    everything = await found(backend, "words")
    assert everything == sorted(names)
    for limit in range(1, len(names)):
        assert await found(backend, "words", limit=limit) == everything[:limit]


async def test_limit_and_total(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """No more hits than asked for, and a total that counts all matches."""
    changes = [upsert(f"d{number}", f"needle {number} " + "hay " * number, offset=number) for number in range(30)]
    await index_changes(writer, *changes, upsert("x", "nothing of the kind", offset=30))
    answer = await search(backend, "needle", limit=7)
    assert len(answer.hits) == 7
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    if index.matches_words:
        assert (answer.total, answer.total_relation) == (30, "eq")
        assert len(await found(backend, "needle", limit=10_000)) == 30


async def test_title_is_searched(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """A word of the title alone finds the document."""
    await index_changes(writer, upsert("a", "some body", title="Needle", offset=0), upsert("b", "no more", offset=1))
    assert (await found(backend, "needle"))[0] == "a"
    if index.matches_words:
        assert await found(backend, "needle") == ["a"]


@pytest.mark.parametrize("text", ["needle", "Nadel im 🏳️", "\0", "(((", "a" * 4_000, "*", '"', "-", "AND OR", ":", "\\"])
async def test_any_query_is_answered(writer: IndexWriter, backend: SearchBackend, text: str) -> None:
    """Whatever a user types, there is an answer."""
    await index_changes(writer, upsert("a", "needle", offset=0))
    assert (await search(backend, text)).total >= 0


async def test_no_time_left(writer: IndexWriter, backend: SearchBackend) -> None:
    """A deadline that has passed is not overrun."""
    await index_changes(writer, upsert("a", "some words", offset=0))
    passed = Deadline.after(0)
    with pytest.raises(DeadlineExceeded):
        await backend.search(Query("words", 10, passed))
    with pytest.raises(DeadlineExceeded):
        await backend.newest(10, passed)
    with pytest.raises(DeadlineExceeded):
        await backend.fetch([DocumentId("a")], passed)


async def test_answers_are_snapshots(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """While commits go on, each answer is that of one commit, whole, and later ones are not of earlier commits."""
    done, answered = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def watch() -> None:
        while not done.is_set():
            answer = await search(backend, "words", limit=1_000)
            read = answer.watermark.offsets.get(0, 0)
            if index.matches_words:
                assert answer.total == len(answer.hits) == read
            seen.append(read)
            answered.set()

    async def write() -> None:
        for number in range(0, 60, 2):
            changes = [upsert(f"d{number + more}", "some words", offset=number + more) for more in (0, 1)]
            await index_changes(writer, *changes)
            answered.clear()
            await answered.wait()  # else a fast writer is done before a slow backend has answered once
        done.set()

    await asyncio.gather(write(), watch(), watch())
    assert max(seen) > min(seen)
    assert (await search(backend, "words")).watermark.offsets == {0: 60}


async def test_backend_opened_before_the_index(index: Index) -> None:
    """A backend may be opened first; it answers as soon as there is an index."""
    backend = await index.open_backend()
    writer = await index.open_writer()
    try:
        await index_changes(writer, upsert("a", "some words", offset=0))
        assert await found(backend, "words") == ["a"]
        await writer.commit(Watermark(cluster="tests", offsets={0: 7}))
        assert (await search(backend, "words")).watermark.offsets == {0: 7}
    finally:
        await writer.close()
        await backend.close()
