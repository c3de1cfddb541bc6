"""Generations with other models: which one answers, and what is embedded again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.embedding import EmbedderProcess
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.phases import Phase, RebuildRecord
from indexer.registry import open_backend, open_catalogue
from indexer.resources import MemoryGuard, MemoryLimit
from streams.metrics import Metrics
from streams.settings import Settings
from streams.watermark import Watermark
from tests.indexer.contract.changes import upsert
from tests.indexer.contract.harness import index_changes
from tests.system.waiting import until


@pytest.fixture
def settings(database_dsn: str, model_path: Path, tmp_path: Path) -> Settings:
    """A database of the test's own."""
    values = {"database_url": database_dsn, "model_path": model_path, "data_dir": tmp_path}
    return Settings.model_validate(values, by_name=True)


@pytest.fixture
async def catalogue(settings: Settings) -> AsyncIterator[Catalogue]:
    """Its generations, none of them made yet."""
    async with open_catalogue("semantic", settings) as opened:
        yield opened


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is embedded for an index, by any model."""
    texts: list[str] = []
    embed = EmbedderProcess.embed_documents

    async def counted(self: EmbedderProcess, batch: list[str], deadline: Deadline) -> object:
        texts.extend(batch)
        return await embed(self, batch, deadline)

    monkeypatch.setattr(EmbedderProcess, "embed_documents", counted)
    return texts


async def fill(catalogue: Catalogue, generation: str, *documents: tuple[str, str]) -> None:
    """Index documents by id and body into a generation."""
    writer = await catalogue.open_writer(generation)
    await index_changes(writer, *(upsert(name, body, offset=n) for n, (name, body) in enumerate(documents)))
    await writer.close()


def another(model: Path, place: Path) -> Path:
    """The same model in another file, which is another model by its hash."""
    place.write_bytes(model.read_bytes() + bytes(64))
    return place


async def vectors(dsn: str, generation: str) -> list[tuple[object, ...]]:
    """All passages of a generation."""
    connection = await asyncpg.connect(dsn)
    try:
        return [
            tuple(row)
            for row in await connection.fetch(
                "SELECT document_id, ordinal, body_start, body_end, embedding::text"  # noqa: S608 - a name of the test's
                f" FROM embed_search.{generation}_passages ORDER BY 1, 2"
            )
        ]
    finally:
        await connection.close()


async def test_generations_that_are_fed_beside_each_other_embed_once(
    catalogue: Catalogue, database_dsn: str, embedded: list[str]
) -> None:
    """As after a swap, when the previous one is fed for a day: neither holds what the other one wants yet."""
    first = await catalogue.ensure_live()
    second = await catalogue.prepare()
    documents = [(str(number), f"document {number} of both") for number in range(20)]
    await asyncio.gather(fill(catalogue, first, *documents), fill(catalogue, second, *documents))
    assert len(embedded) == len(set(embedded)) == len(documents)
    assert await vectors(database_dsn, first) == await vectors(database_dsn, second)


async def test_the_same_model_embeds_nothing_again(
    catalogue: Catalogue, database_dsn: str, embedded: list[str]
) -> None:
    """A rebuild takes the vectors that are there, bit by bit; a text that comes twice is embedded once."""
    documents = [("a", "a storm at sea"), ("b", "bread and butter " * 200), ("c", "a storm at sea")]
    first = await catalogue.ensure_live()
    await fill(catalogue, first, *documents)
    assert sum("a storm at sea" in text for text in embedded) == 1
    embedded.clear()
    second = await catalogue.prepare()
    await fill(catalogue, second, *documents, ("d", "something new"))
    assert [text for text in embedded if text != "something new"] == []
    assert len(embedded) == 1
    assert await vectors(database_dsn, first) == [row for row in await vectors(database_dsn, second) if row[0] != "d"]


def read_from(topic_id: str, **partitions: int) -> Watermark:
    """As far as these offsets, by partition, of the topic with this id."""
    return Watermark("docs", "k", {int(name[1:]): offset for name, offset in partitions.items()}, topic_id=topic_id)


@pytest.fixture
async def changed(catalogue: Catalogue, embedded: list[str]) -> str:
    """A live generation, whose documents change often; gives the name of one that a rebuild fills."""
    writer = await catalogue.open_writer(await catalogue.ensure_live())
    newest = [upsert("often", "o9", offset=100), upsert("lately", "l9", offset=190), upsert("once", "n1", offset=70)]
    await writer.apply([*newest, upsert("moved", "m9", offset=100, partition=1), upsert("same", "s1", offset=80)])
    await writer.commit(read_from("t", p0=300, p1=300))
    await writer.close()
    embedded.clear()
    filled = await catalogue.prepare()
    await catalogue.tell(filled, RebuildRecord().told(goal={0: 200, 1: 200}))
    return filled


OLDER = {"often": 50, "lately": 60, "once": 70, "moved": 50, "gone": 51, "late": 199}


async def replayed(catalogue: Catalogue, generation: str, topic_id: str) -> Sequence[str]:
    """Read versions of documents into a generation; gives the documents that are in it then."""
    writer = await catalogue.open_writer(generation)
    await writer.apply([upsert("first", "f1", offset=0)])
    await writer.commit(read_from(topic_id, p0=1))
    await writer.apply([upsert(name, f"{name} as of {offset}", offset=offset) for name, offset in OLDER.items()])
    await writer.commit(read_from(topic_id, p0=200))
    await writer.close()
    async with catalogue.open_dump(generation) as dump:
        return [document.id async for batch in dump.batches() for document in batch]


async def test_superseded_versions_are_not_embedded(catalogue: Catalogue, changed: str, embedded: list[str]) -> None:
    """A replay leaves out what the live generation has from a later record, which it will read before anybody looks.

    Not so where it may leave that record unread, where that is in another partition, or the document was deleted since.
    """
    kept = await replayed(catalogue, changed, "t")
    assert sorted(kept) == ["first", "gone", "late", "lately", "moved", "once"]
    assert not any("often" in text for text in embedded)


async def test_nothing_is_left_out_before_a_rebuild_has_said_how_far_it_will_read(
    catalogue: Catalogue, changed: str, embedded: list[str]
) -> None:
    """What it says while the writer is open is heard, for the topic grows; a batch before its end may be left."""
    writer = await catalogue.open_writer(changed)
    await writer.apply([upsert("first", "f1", offset=0)])
    await writer.commit(read_from("t", p0=1))
    embedded.clear()
    for offset, goal in ((1, 0), (2, 254), (3, 255)):
        await catalogue.tell(changed, RebuildRecord().told(goal={0: goal}))
        await writer.apply([upsert("lately", f"goal {goal}", offset=offset)])
    await writer.close()
    assert embedded == ["goal 0", "goal 254"]


async def test_what_was_read_from_another_topic_supersedes_nothing(
    catalogue: Catalogue, changed: str, embedded: list[str]
) -> None:
    """A topic that was made again counts from 0 again."""
    kept = await replayed(catalogue, changed, "another")
    assert sorted(kept) == sorted(["first", *OLDER])
    assert any("often" in text for text in embedded)


async def test_nothing_is_left_out_of_a_generation_that_may_be_searched(catalogue: Catalogue, changed: str) -> None:
    """One that is ready may be live at any moment, and what it lacks until the next batch would be missed."""
    await catalogue.tell(changed, RebuildRecord().told(Phase.READY))
    assert sorted(await replayed(catalogue, changed, "t")) == sorted(["first", *OLDER])


async def test_another_model_embeds_every_text_once(
    catalogue: Catalogue, settings: Settings, tmp_path: Path, embedded: list[str]
) -> None:
    """Vectors of another model are never taken."""
    await fill(catalogue, await catalogue.ensure_live(), ("a", "a storm at sea"))
    embedded.clear()
    other = settings.model_copy(update={"model_path": another(settings.model_path, tmp_path / "other.gguf")})  # type: ignore[arg-type] # set above
    async with open_catalogue("semantic", other) as with_other:
        await fill(with_other, await with_other.prepare(), ("a", "a storm at sea"), ("b", "a storm at sea"))
    assert len(embedded) == 1


async def test_searches_go_on_while_the_model_of_a_swap_is_loaded(
    catalogue: Catalogue, settings: Settings, tmp_path: Path
) -> None:
    """With the previous generation, whose model is there; an indexer finds both models where they are."""
    first = await catalogue.ensure_live()
    await fill(catalogue, first, ("old", "a storm at sea"))
    other = settings.model_copy(update={"model_path": another(settings.model_path, tmp_path / "other.gguf")})  # type: ignore[arg-type] # set above
    async with open_catalogue("semantic", other) as with_other:
        second = await with_other.prepare()
        await fill(with_other, second, ("new", "a storm at sea"))
    backend = open_backend("semantic", settings, Metrics(), MemoryGuard(MemoryLimit(100, "test", lambda: 0)))

    async def answer() -> list[str]:
        return [hit.id for hit in (await backend.search(Query("storm", 5, Deadline.after(30)))).hits]

    assert await answer() == ["old"]
    for live, expected in ((second, "new"), (first, "old")):
        await catalogue.promote(live)
        seen: list[list[str]] = []

        async def follows(seen: list[list[str]] = seen, expected: str = expected) -> bool:
            seen.append(await answer())  # raises if any search fails
            return seen[-1] == [expected]

        await until(follows, f"answers of {live}", 30)
        assert len(seen) > 1
        assert all(len(each) == 1 for each in seen)
    await fill(catalogue, second, ("newer", "calm weather"))
    await backend.close()
