import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import numpy as np
import numpy.typing as npt
import pytest

from indexer.deadline import Deadline
from indexer.embedding import EmbedderDied, EmbedderOptions, EmbedderProcess
from indexer.errors import GenerationUnusable, WatermarkConflict, WriterFailed
from indexer.filtering import label
from indexer.semantic import PassageSettings, SemanticBackend, SemanticWriter
from infra.supervisor.ports import free_port
from streams.change import Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark
from tests.indexer.semantic.documents import COOKING, FILES, WEATHER, ask, delete, found, put, soon, upsert


async def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    """What a query gives, asked past the code under test."""
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_a_new_index_has_read_nothing(writer: SemanticWriter) -> None:
    """Its watermark is empty."""
    assert await writer.watermark() == Watermark()


async def test_data_and_watermark_appear_together(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """Neither before the commit, both after it, and the next writer goes on from there."""
    watermark = Watermark(cluster="c", offsets={0: 5, 3: 17}, timestamp_ms=99)
    await writer.apply([upsert("a", FILES, offset=4)])
    assert await found(backend, "reading files") == []
    assert await writer.watermark() == Watermark()
    await writer.commit(watermark)
    answer = await ask(backend, "reading files")
    assert ([hit.id for hit in answer.hits], answer.watermark) == (["a"], watermark)
    other = await SemanticWriter.open(database_dsn, embedder)
    assert await other.watermark() == watermark
    await other.close()


async def test_an_update_replaces_text_and_vectors(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """The former text is no longer near, and there is one document with one passage."""
    await put(writer, upsert("a", FILES, offset=1))
    await put(writer, upsert("a", WEATHER, offset=2))
    answer = await ask(backend, FILES)
    assert answer.total == 1
    assert answer.hits[0].score < 0.5
    assert (await ask(backend, WEATHER)).hits[0].score > 0.99


async def test_a_tombstone_deletes(database_dsn: str, writer: SemanticWriter, backend: SemanticBackend) -> None:
    """The document goes with its passages; deleting nothing is no fault."""
    await put(writer, upsert("a", FILES, offset=1), upsert("b", FILES, offset=2))
    await put(writer, delete("a", offset=3), delete("never-there", offset=4))
    assert await found(backend, FILES) == ["b"]
    assert await rows(database_dsn, "SELECT document_id FROM embed_search.g000001_passages") == [("b",)]


async def test_an_older_version_never_replaces_a_newer_one(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """Neither in the same batch, nor after a commit, nor from behind the watermark, nor as a tombstone."""
    await writer.apply([upsert("a", FILES, offset=7)])
    await writer.apply([upsert("a", WEATHER, offset=5)])
    await writer.commit(Watermark(offsets={0: 2}))
    await writer.apply([upsert("a", WEATHER, offset=6), upsert("b", WEATHER, offset=1)])
    await writer.commit(Watermark(offsets={0: 3}))
    await writer.apply([delete("a", offset=4)])
    await writer.commit(Watermark(offsets={0: 8}))
    assert await found(backend, WEATHER) == ["a"]
    assert (await backend.fetch([DocumentId("a")], soon()))[DocumentId("a")].position.offset == 7


async def test_unchanged_text_is_not_embedded_again(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """Only the document's row moves on; the passages keep their places, so HNSW is left alone."""
    await put(writer, upsert("a", FILES, offset=1))
    before = await rows(database_dsn, "SELECT ctid::text FROM embed_search.g000001_passages")
    await embedder.close()  # whoever asks it now is refused
    await put(writer, upsert("a", FILES, offset=2))
    assert await rows(database_dsn, "SELECT ctid::text FROM embed_search.g000001_passages") == before
    assert (await backend.fetch([DocumentId("a")], soon()))[DocumentId("a")].position.offset == 2


async def test_labels_and_dates_follow_the_document(database_dsn: str, writer: SemanticWriter) -> None:
    """Each document of a batch has its own labels, however many; another version replaces them, also of equal text."""

    def version(name: str, body: str, offset: int, tags: tuple[str, ...], date: datetime | None = None) -> Upsert:
        document = Document(id=DocumentId(name), body=body, tags=tags, published_at=date)
        return Upsert(document, Position(0, offset, 1_700_000_000_000))

    async def kept() -> list[tuple[object, ...]]:
        return await rows(
            database_dsn, "SELECT id, labels, published_us FROM embed_search.g000001_documents ORDER BY id"
        )

    def labels(*tags: str) -> list[int]:
        unsigned = [label("tags", tag).to_bytes(8) for tag in tags]
        return sorted(int.from_bytes(each, signed=True) for each in unsigned)

    many = tuple(f"tag {number}" for number in range(50))
    assert any(each < 0 for each in labels(*many))
    early = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    await put(
        writer, version("a", FILES, 1, many, early), version("b", FILES, 2, ()), version("c", FILES, 3, ("x", "y"))
    )
    assert await kept() == [("a", labels(*many), -1), ("b", [], None), ("c", labels("x", "y"), None)]
    await put(
        writer, version("a", FILES, 4, ("new",)), version("b", WEATHER, 5, ("x",), early), version("c", FILES, 6, ())
    )
    assert await kept() == [("a", labels("new"), None), ("b", labels("x"), -1), ("c", [], None)]


async def test_two_writers_of_one_partition_fence_each_other(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """The one who was overtaken cannot commit: not its data, not its watermark, and never again."""
    await put(writer, upsert("a", FILES, offset=1))
    successor = await SemanticWriter.open(database_dsn, embedder)
    await writer.apply([upsert("zombie", WEATHER, offset=2)])
    await put(successor, upsert("b", WEATHER, offset=2))
    with pytest.raises(WatermarkConflict, match="another writer committed"):
        await writer.commit(Watermark(offsets={0: 3}))
    with pytest.raises(WriterFailed):
        await writer.watermark()
    assert await found(backend, WEATHER) == ["b", "a"]
    await successor.close()


async def test_two_writers_share_the_partitions(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """Each commits its own; the index has read them all."""
    other = await SemanticWriter.open(database_dsn, embedder)
    await put(writer, upsert("a", FILES, offset=1, partition=0))
    await put(other, upsert("b", WEATHER, offset=8, partition=1))
    await put(writer, upsert("c", COOKING, offset=2, partition=0))
    assert (await ask(backend, FILES)).watermark.offsets == {0: 3, 1: 9}
    assert sorted(await found(backend, FILES)) == ["a", "b", "c"]
    await other.close()


async def test_writers_that_start_together_make_one_index(database_dsn: str, embedder: EmbedderProcess) -> None:
    """The tables are made once, whoever is first."""
    writers = await asyncio.gather(*(SemanticWriter.open(database_dsn, embedder) for _ in range(4)))
    assert await rows(database_dsn, "SELECT name, live FROM embed_search.generations") == [("g000001", True)]
    for writer in writers:
        await writer.close()


async def test_another_model_is_refused(database_dsn: str, writer: SemanticWriter, embedder: EmbedderProcess) -> None:
    """Vectors of two models cannot be compared; the message says which they are."""
    await writer.close()
    sha256 = embedder.description.sha256
    update = "UPDATE embed_search.generations SET settings = replace(settings, '{}', 'another')"
    await rows(database_dsn, update.format(sha256))
    with pytest.raises(GenerationUnusable, match=r"model_sha256='another'.*rebuild"):
        await SemanticWriter.open(database_dsn, embedder)


async def test_a_generation_goes_on_as_it_was_cut(
    database_dsn: str, writer: SemanticWriter, embedder: EmbedderProcess
) -> None:
    """Passages of another length are for the next generation."""
    await writer.close()
    again = await SemanticWriter.open(database_dsn, embedder, passages=PassageSettings(tokens=64))
    await put(again, upsert("long", "the engine hums along quietly. " * 40, offset=1))
    ((passages,),) = await rows(database_dsn, "SELECT count(*) FROM embed_search.g000001_passages")
    assert passages == 3
    await again.close()


async def test_a_large_document_is_indexed_whole(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """The needle at its very end is found, with its place in the body."""
    body = "the engine hums along quietly. " * 600 + COOKING
    await put(writer, upsert("long", body, offset=1))
    ((passages,),) = await rows(database_dsn, "SELECT count(*) FROM embed_search.g000001_passages")
    assert passages > 30  # type: ignore[operator]  # a number
    hit = (await ask(backend, "how to cook pasta")).hits[0]
    assert hit.passage is not None
    assert COOKING in body[slice(*hit.passage)]


async def test_a_killed_embedder_costs_nothing(
    writer: SemanticWriter, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """It is started again in the middle of a batch, and the batch is complete."""
    changes = [upsert(f"d{n}", f"{FILES} {n}", offset=n) for n in range(40)]
    applying = asyncio.create_task(writer.apply(changes))
    for _ in range(2):
        while embedder.pid is None:  # noqa: ASYNC110 - asyncio reports a started child through no public event
            await asyncio.sleep(0.01)
        os.kill(embedder.pid, signal.SIGKILL)
        await asyncio.sleep(0)
    assert await applying == []
    await writer.commit(Watermark(offsets={0: 40}))
    assert (await backend.stats(soon())).documents == 40


class FaultyEmbedder(EmbedderProcess):
    """The real one, but for texts with a mark: no text is known to crash the model, or to make it give NaN."""

    async def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> npt.NDArray[np.float32]:
        """Crash, or give NaN, where the text says so."""
        if any("CRASH" in text for text in texts):
            os.kill(self.pid or 0, signal.SIGKILL)
            raise EmbedderDied("the embedder ended with status -9")
        vectors = (await super().embed_documents(texts, deadline)).copy()
        vectors[["NAN" in text for text in texts]] = np.nan
        return vectors


async def test_a_poisonous_document_is_rejected_alone(
    database_dsn: str, model_path: Path, backend: SemanticBackend
) -> None:
    """What kills the embedder, or has no finite vector, goes to the dead letters; its neighbours are indexed."""
    embedder = await FaultyEmbedder.start(EmbedderOptions(model_path))
    writer = await SemanticWriter.open(database_dsn, embedder)
    changes = [upsert("a", FILES, offset=0), upsert("b", "CRASH", offset=1), upsert("c", "NAN", offset=2)]
    rejections = await writer.apply([*changes, upsert("d", WEATHER, offset=3)])
    await writer.commit(Watermark(offsets={0: 4}))
    assert [(r.change.id, r.kind) for r in rejections] == [("b", "embedder-crash"), ("c", "not-finite")]
    assert sorted(await found(backend, FILES)) == ["a", "d"]
    await writer.close()
    await embedder.close()


async def test_a_lost_connection_fails_the_writer_for_good(
    database_dsn: str, writer: SemanticWriter, embedder: EmbedderProcess
) -> None:
    """Nothing of its batch is committed; the next writer goes on from the watermark."""
    await put(writer, upsert("a", FILES, offset=1))
    await writer.apply([upsert("b", WEATHER, offset=2)])
    await rows(
        database_dsn,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'embed-search indexer'"
        " AND datname = current_database()",
    )
    with pytest.raises(WriterFailed):
        await writer.commit(Watermark(offsets={0: 3}))
    with pytest.raises(WriterFailed, match="open another one"):
        await writer.apply([upsert("b", WEATHER, offset=2)])
    again = await SemanticWriter.open(database_dsn, embedder)
    assert (await again.watermark()).offsets == {0: 2}
    await put(again, upsert("b", WEATHER, offset=2))
    await again.close()


async def test_a_database_that_is_down_fails_the_opening(embedder: EmbedderProcess) -> None:
    """The caller waits and tries again."""
    with pytest.raises(WriterFailed, match="does not answer"):
        await SemanticWriter.open(f"postgresql://nobody@127.0.0.1:{free_port()}/none", embedder)
