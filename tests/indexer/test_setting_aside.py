"""Beginning each real index anew, and what an operator is told who has not asked for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from indexer.errors import WatermarkConflict
from indexer.registry import LOCAL_ENGINES, indexes_directory, open_catalogue, open_dump, set_aside
from indexer.writer import IndexWriter
from streams.settings import SEMANTIC, Settings
from streams.topics import read_offsets
from streams.watermark import Watermark
from tests.indexer.contract.changes import upsert
from tests.streams.kafka import make_topics
from tests.system.processes import run_command

READ = Watermark("docs", "c1", {0: 4, 1: 2}, 0, "t1", 2, 1_700_000_000_000)


@asynccontextmanager
async def writing(index: str, settings: Settings) -> AsyncIterator[IndexWriter]:
    """A writer of the live generation."""
    async with open_catalogue(index, settings) as catalogue:
        writer = await catalogue.open_writer(await catalogue.ensure_live())
        try:
            yield writer
        finally:
            await writer.close()


async def ids(index: str, settings: Settings) -> set[str]:
    """What the live generation holds."""
    async with open_dump(index, settings) as dump:
        return {document.id async for batch in dump.batches() for document in batch}


async def index_one(writer: IndexWriter, name: str, watermark: Watermark) -> None:
    """Index a document."""
    await writer.apply([upsert(name, "some words", offset=watermark.offsets[0] - 1)])
    await writer.commit(watermark)


@pytest.mark.parametrize("index", sorted(LOCAL_ENGINES))
async def test_a_local_index_begins_anew_and_the_old_one_is_kept(index: str, tmp_path: Path) -> None:
    """In the next generation, which is empty and has read nothing."""
    settings = Settings(data_dir=tmp_path)
    async with writing(index, settings) as writer:
        await index_one(writer, "a", READ)
        assert await writer.watermark() == READ
    await set_aside(index, settings, READ)
    async with writing(index, settings) as writer:
        assert (await writer.watermark(), await ids(index, settings)) == (Watermark(), set())
        await index_one(writer, "b", Watermark("docs", "c1", {0: 1}, 0, "t2", 1, 1))
    assert await ids(index, settings) == {"b"}
    generations = indexes_directory(settings) / index
    assert {path.name for path in generations.iterdir() if path.is_dir()} == {"g000001", "g000002"}


async def test_the_semantic_index_begins_anew_once_for_all_its_writers(
    database_dsn: str, model_path: Path, tmp_path: Path
) -> None:
    """Another indexer that finds the same later lets the new one be, and one that wrote to the old one notices."""
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "database_url": database_dsn, "model_path": model_path}, by_name=True
    )
    async with writing(SEMANTIC, settings) as old:
        await index_one(old, "a", READ)
        assert await old.watermark() == READ
        await set_aside(SEMANTIC, settings, READ)
        assert await ids(SEMANTIC, settings) == set()
        await set_aside(SEMANTIC, settings, READ)
        with pytest.raises(WatermarkConflict):
            await index_one(old, "lost", READ.advanced({0: 9}))
    again = Watermark("docs", "c1", {0: 1, 1: 0}, 0, "t2", 2, READ.current_ms + 1)
    async with writing(SEMANTIC, settings) as writer:
        assert await writer.watermark() == Watermark()
        await index_one(writer, "b", again)
        await set_aside(SEMANTIC, settings, READ)
        await set_aside(SEMANTIC, settings, READ.read_until(again.current_ms))  # it was of another topic
        assert await writer.watermark() == again
    assert await ids(SEMANTIC, settings) == {"b"}


async def test_an_operator_is_told_what_happened_and_what_to_run(kafka_bootstrap: str, tmp_path: Path) -> None:
    """In one line, at the end of the process."""
    topic = await make_topics(kafka_bootstrap)
    settings = Settings(data_dir=tmp_path)
    cluster = (await read_offsets(kafka_bootstrap, topic)).cluster
    async with writing("bm25", settings) as writer:
        await index_one(writer, "a", Watermark(topic, cluster, {0: 1}, 0, "another-id", 1, 1))
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "EMBED_SEARCH_TOPIC": topic,
        "EMBED_SEARCH_DATA_DIR": str(tmp_path),
    }
    refused = run_command(["index", "bm25"], environment)
    assert refused.returncode == 1
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("embed-search: "))
    assert "deleted and created anew" in line
    assert "embed-search rebuild bm25, or start its indexer with EMBED_SEARCH_TOPIC_GAP=rebuild" in line
    assert "Traceback" not in refused.stderr
