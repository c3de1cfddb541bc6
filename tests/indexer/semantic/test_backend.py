import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import asyncpg
import psutil
import pytest

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.errors import BackendStarting, BackendUnavailable, DeadlineExceeded, InvalidQuery
from indexer.filtering import Filter, label
from indexer.priority import LOWEST_PRIORITY
from indexer.registry import QUERIES_STEP_BACK, open_backend
from indexer.resources import MemoryGuard, MemoryLimit
from indexer.semantic import SemanticBackend, SemanticWriter, document_count, nearest
from infra.postgres.server import PostgresServer
from infra.supervisor.ports import free_port
from streams.document import DocumentId
from streams.metrics import Metrics
from streams.settings import SEMANTIC, Settings
from tests.indexer.semantic.documents import COOKING, FILES, WEATHER, ask, found, put, soon, upsert, with_tags
from tests.system.waiting import until


@pytest.fixture(params=["exact", "hnsw"])
def scan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to scan, whatever the size of the table, and few candidates at first."""
    monkeypatch.setattr(nearest, "MIN_CANDIDATES", 8)
    if request.param == "hnsw":
        monkeypatch.setattr(nearest, "_EXACT_BELOW_BYTES", 0)
        monkeypatch.setattr(nearest, "_FEW", 0)
    return str(request.param)


async def test_meaning_is_found(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """A question finds the answer that shares no word with it, scored by similarity, with its place."""
    await put(writer, upsert("f", FILES, offset=1), upsert("w", WEATHER, offset=2), upsert("c", COOKING, offset=3))
    answer = await ask(backend, "meteorological forecast")
    assert answer.hits[0].id == "w"
    assert 0.2 < answer.hits[0].score < 1
    assert answer.hits[0].passage == (0, len(WEATHER))
    assert (answer.total, answer.total_relation, answer.detail) == (3, "eq", "")


async def test_a_long_document_counts_once(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """Its best passage stands for it."""
    await put(writer, upsert("long", (FILES + " ") * 100, offset=1), upsert("w", WEATHER, offset=2))
    answer = await ask(backend, FILES)
    assert [hit.id for hit in answer.hits] == ["long", "w"]


@pytest.mark.usefixtures("scan")
async def test_a_larger_page_begins_with_the_smaller_one(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """Whatever the limit, ties are in the order of ids, and nothing is skipped or shown twice."""
    names = [f"n{(7 * n) % 300:03d}" for n in range(300)]
    await put(writer, *[upsert(name, f"{FILES} {int(name[1:]) % 10}", offset=at) for at, name in enumerate(names)])
    everything = (await ask(backend, FILES, limit=1_000)).hits
    assert len(everything) == 300
    assert list(everything) == sorted(everything, key=lambda hit: (-hit.score, hit.id))
    for limit in (1, 10, 29, 30, 31, 128, 300):
        assert (await ask(backend, FILES, limit=limit)).hits == everything[:limit]


async def test_hnsw_finds_what_an_exact_scan_finds(
    writer: SemanticWriter, backend: SemanticBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index never returns fewer hits, and of the best ten at least nine."""
    bodies = [f"{text} Number {n}." for n in range(100) for text in (FILES, WEATHER, COOKING)]
    await put(writer, *[upsert(f"d{n}", body, offset=n) for n, body in enumerate(bodies)])
    exact = await found(backend, "read file number 7", limit=200)
    monkeypatch.setattr(nearest, "_EXACT_BELOW_BYTES", 0)
    approximate = await found(backend, "read file number 7", limit=200)
    assert len(approximate) == len(exact) == 200
    assert len(set(exact[:10]) & set(approximate[:10])) >= 9


@pytest.mark.usefixtures("scan")
async def test_a_filter_leaves_scores_and_places_as_they_are(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """The hits are those of the search without it, less what does not pass, by whichever way they are found."""
    bodies = [f"{text} {'Number. ' * 60}{n}." for n in range(3) for text in (FILES, WEATHER, COOKING)]
    changes = [upsert(f"d{n:02d}", body, offset=n) for n, body in enumerate(bodies)]
    await put(writer, *(with_tags(each, "odd" if at % 2 else "even") for at, each in enumerate(changes)))
    everything = (await ask(backend, "a forecast", limit=100)).hits
    assert len(everything) == len(bodies)
    only = Filter((frozenset({label("tags", "odd")}),))
    expected = [hit for hit in everything if int(hit.id[1:]) % 2]
    for limit in (1, 3, 100):
        answer = await backend.search(Query("a forecast", limit, soon(), only))
        assert list(answer.hits) == expected[:limit]
    newest = await backend.newest(2, soon(), only)
    assert ([hit.id for hit in newest.hits], newest.total) == (["d07", "d05"], 4)


async def test_newest_first(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """Scored by the records' timestamps; the total counts all documents."""
    await put(writer, upsert("a", FILES, offset=1), upsert("b", WEATHER, offset=2), upsert("c", COOKING, offset=3))
    answer = await backend.newest(2, soon())
    assert [(hit.id, hit.score) for hit in answer.hits] == [("c", 1_700_000_000_003), ("b", 1_700_000_000_002)]
    assert (answer.total, answer.watermark.offsets) == (3, {0: 4})


async def test_fetch_gives_back_the_document_byte_for_byte(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """NUL and all; unknown ids are left out, and ids that nothing can have do no harm."""
    document = upsert("odd", "before\0after 😀 \u2028", offset=1, title="t\0")
    await put(writer, document)
    fetched = await backend.fetch([DocumentId("odd"), DocumentId("nobody"), DocumentId("a\0b")], soon())
    assert list(fetched) == ["odd"]
    assert fetched[DocumentId("odd")].document == document.document


async def test_stats(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """The live generation with its documents, size and watermark."""
    await put(writer, upsert("a", FILES, offset=1))
    stats = await backend.stats(soon())
    assert (stats.generation, stats.documents, stats.watermark.offsets) == ("g000001", 1, {0: 2})
    assert stats.size_bytes > 0


async def test_a_long_query_is_answered_and_says_so(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """What the model cannot read of it is left out."""
    await put(writer, upsert("a", FILES, offset=1))
    answer = await ask(backend, "read the lines of a file " * 160)
    assert [hit.id for hit in answer.hits] == ["a"]
    assert answer.detail.startswith("only the beginning of the query was read")


async def test_before_the_index_is_built_the_backend_is_unavailable(backend: SemanticBackend) -> None:
    """There is no pgvector, no schema and no table yet, and afterwards there is."""
    with pytest.raises(BackendUnavailable, match="was not built yet"):
        await ask(backend, FILES)
    with pytest.raises(BackendUnavailable, match="was not built yet"):
        await backend.watermark(soon())


async def test_it_works_once_the_index_is_built(
    database_dsn: str, backend: SemanticBackend, embedder: EmbedderProcess
) -> None:
    """A backend that was there first needs no restart."""
    with pytest.raises(BackendUnavailable):
        await ask(backend, FILES)
    writer = await SemanticWriter.open(database_dsn, embedder)
    await put(writer, upsert("a", FILES, offset=1))
    assert await found(backend, FILES) == ["a"]
    await writer.close()


async def test_the_live_generation_is_followed(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """When the pointer moves, the next answer comes from the other generation."""
    await put(writer, upsert("a", FILES, offset=1))
    assert await found(backend, FILES) == ["a"]
    connection = await asyncpg.connect(database_dsn)
    for table in ("documents", "passages", "watermarks"):
        await connection.execute(f"CREATE TABLE embed_search.g000002_{table} (LIKE embed_search.g000001_{table})")
    await connection.execute(
        "UPDATE embed_search.generations SET live = false;"
        "INSERT INTO embed_search.generations SELECT 'g000002', settings, true FROM embed_search.generations"
    )
    await connection.close()
    assert await backend.fetch([DocumentId("a")], soon()) == {}
    assert await found(backend, FILES) == []
    assert (await backend.stats(soon())).generation == "g000002"
    assert (await backend.watermark(soon())).offsets == {}


async def read_of(backend: SemanticBackend) -> list[str]:
    """What was read of the one document that is put, by the watermark."""
    return ["a"] if (await backend.watermark(soon())).offsets == {0: 2} else []


async def test_a_generation_that_is_gone_is_not_asked_again(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """Dropped since the last answer, tables and all: the next answer comes from the one that is live now."""
    await put(writer, upsert("a", FILES, offset=1))
    connection = await asyncpg.connect(database_dsn)
    questions: tuple[Callable[[], Awaitable[Collection[str]]], ...] = (
        lambda: found(backend, FILES),
        lambda: backend.fetch([DocumentId("a")], soon()),
        lambda: read_of(backend),
    )
    for number, ask_it in enumerate(questions, 1):
        assert list(await ask_it()) == ["a"]
        live, other = f"g{number:06}", f"g{number + 1:06}"
        for table in ("documents", "passages", "watermarks"):
            await connection.execute(f"CREATE TABLE embed_search.{other}_{table} AS TABLE embed_search.{live}_{table}")
        await connection.execute("UPDATE embed_search.generations SET name = $1", other)
        await connection.execute(f"DROP TABLE embed_search.{live}_documents CASCADE")
        await connection.execute(f"DROP TABLE embed_search.{live}_passages, embed_search.{live}_watermarks")
        assert list(await ask_it()) == ["a"]
    await connection.close()


async def test_tables_that_are_missing_are_said_to_be(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """A live generation without tables is no reason to look for it again and again."""
    await put(writer, upsert("a", FILES, offset=1))
    connection = await asyncpg.connect(database_dsn)
    assert await found(backend, FILES) == ["a"]
    await connection.execute("DROP TABLE embed_search.g000001_watermarks")
    await connection.close()
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="was not built yet"):
            await ask(backend, FILES)


async def statements_of(backend: SemanticBackend) -> list[str]:
    """What the connection that is lent next is told from now on."""
    said: list[str] = []
    async with backend._pool.session() as session:
        session.connection.add_query_logger(lambda logged: said.append(logged.query))
    return said


async def test_a_search_is_one_statement_and_so_are_its_documents_and_a_watermark(
    writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """After the first: its hits, the watermark and the live generation come from one snapshot."""
    await put(writer, upsert("a", FILES, offset=1))
    for _ in range(2):
        said = await statements_of(backend)
        answer = await backend.search(Query(FILES, 10, Deadline.after(20)))
        fetched = await backend.fetch([hit.id for hit in answer.hits], Deadline.after(20))
        assert (answer.watermark.offsets, answer.watermark.cluster) == ({0: 2}, "tests")
        assert await backend.watermark(Deadline.after(20)) == answer.watermark
        assert list(fetched) == ["a"]
    await asyncio.sleep(0)  # asyncpg tells what was said a turn of the loop later
    assert len(said) == 3


async def test_a_count_that_takes_long_is_not_made_at_each_look(
    writer: SemanticWriter, backend: SemanticBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health looks every second, and a count reads an index from end to end."""
    monkeypatch.setattr(document_count, "CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(document_count, "COUNTING_SHARE", 1e-9)
    await put(writer, upsert("a", FILES, offset=1))
    assert (await backend.stats(soon())).documents == 1
    said = await statements_of(backend)
    assert (await backend.stats(soon())).documents == 1
    await asyncio.sleep(0)  # see above
    assert said
    assert not [each for each in said if "count(" in each]


@pytest.mark.parametrize("small", [True, False])
async def test_how_passages_are_scanned(
    writer: SemanticWriter, backend: SemanticBackend, monkeypatch: pytest.MonkeyPatch, *, small: bool
) -> None:
    """A small table is read whole, a large one by its index, however many documents are asked for."""
    monkeypatch.setattr(nearest, "_EXACT_BELOW_BYTES", 1_000_000 if small else 0)
    await put(writer, *[upsert(f"d{n}", f"{FILES} {n}", offset=n) for n in range(40)])
    await ask(backend, FILES)
    said = await statements_of(backend)
    await ask(backend, FILES, limit=1_000)
    await asyncio.sleep(0)  # see above
    (statement,) = [each for each in said if "<=>" in each]
    async with backend._pool.session() as session:
        vector = [0.1] * 384
        rows = await session.connection.fetch(f"EXPLAIN {statement}", vector, 2_048, 1_000)
    plan = "\n".join(row[0] for row in rows)
    assert ("Seq Scan on g000001_passages" in plan) == small, plan
    assert ("Index Scan using g000001_passages_embedding_idx" in plan) == (not small), plan


async def test_another_model_is_unavailable(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """Vectors of two models cannot be compared: better no answer than a wrong one."""
    await put(writer, upsert("a", FILES, offset=1))
    connection = await asyncpg.connect(database_dsn)
    await connection.execute(
        """UPDATE embed_search.generations SET settings =
        (settings::jsonb || '{"model_sha256": "0", "model_name": "other"}')::text"""
    )
    await connection.close()
    with pytest.raises(BackendUnavailable, match="built with the model other"):
        await ask(backend, FILES)


@pytest.mark.parametrize("limit", [0, 10_001])
async def test_a_limit_out_of_bounds_is_refused(backend: SemanticBackend, limit: int) -> None:
    """The same bounds as everywhere."""
    with pytest.raises(InvalidQuery, match="limit must be 1 to 10000"):
        await ask(backend, FILES, limit=limit)


async def test_a_passed_deadline_is_reported(writer: SemanticWriter, backend: SemanticBackend) -> None:
    """Before the embedder has started, and while it works; and the next query is answered."""
    await put(writer, upsert("a", FILES, offset=1))
    with pytest.raises(DeadlineExceeded):
        await backend.search(Query(FILES, 10, Deadline.after(0)))
    assert await found(backend, FILES) == ["a"]
    with pytest.raises(DeadlineExceeded):
        await backend.search(Query(WEATHER * 20, 10, Deadline.after(0.001)))
    assert await found(backend, FILES) == ["a"]


async def test_a_blocked_table_ends_at_the_deadline(
    database_dsn: str, writer: SemanticWriter, backend: SemanticBackend
) -> None:
    """The query is cut off in time and its connections come back."""
    await put(writer, upsert("a", FILES, offset=1))
    await backend.stats(soon())
    async with asyncpg.create_pool(database_dsn) as pool, pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE embed_search.g000001_passages")
        for _ in range(6):  # more than there are connections
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await backend.search(Query(FILES, 10, Deadline.after(0.3)))
            assert time.monotonic() - began < 2
    assert await found(backend, FILES) == ["a"]


async def test_a_stopped_postgres_is_noticed_at_once_and_its_return_too(
    service_directory: Path, model_path: Path, embedder: EmbedderProcess
) -> None:
    """While it is down each search fails within a second; when it is back the same backend answers."""
    server = PostgresServer(service_directory / "stopped", port=free_port())
    with server.running() as dsn:
        writer = await SemanticWriter.open(dsn, embedder)
        await put(writer, upsert("a", FILES, offset=1))
        await writer.close()
        backend = SemanticBackend(dsn, EmbedderOptions(model_path), Metrics())
        assert await found(backend, FILES) == ["a"]
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await ask(backend, FILES)
        assert time.monotonic() - began < 1
    with server.running():
        assert await found(backend, FILES) == ["a"]
    await backend.close()


async def test_vectors_of_queries_are_given_up_when_memory_is_short(
    writer: SemanticWriter, database_dsn: str, model_path: Path
) -> None:
    """The guard empties their cache: the same query is embedded once more, and found as before."""
    await put(writer, upsert("w", WEATHER, offset=1))
    metrics, memory = Metrics(), MemoryGuard(MemoryLimit(100, "test", lambda: 75))
    settings = Settings.model_validate({"database_url": database_dsn, "model_path": model_path}, by_name=True)
    backend = open_backend(SEMANTIC, settings, metrics, memory)
    embedded = []
    for _ in range(2):
        for _ in range(2):
            assert [hit.id for hit in (await backend.search(Query("forecast", 10, soon()))).hits] == ["w"]
        embedded.append(metrics.registry.get_sample_value("embed_search_embedding_duration_seconds_count"))
        await memory.relieve()
    await backend.close()
    assert embedded == [1, 2]


async def test_what_embeds_queries_steps_back(
    writer: SemanticWriter, database_dsn: str, model_path: Path, tmp_path: Path
) -> None:
    """For whoever takes requests and answers them: a search can do without vectors."""
    await put(writer, upsert("w", WEATHER, offset=1))
    own = tmp_path / "own.gguf"  # by which its process is told from others
    own.symlink_to(model_path)
    settings = Settings.model_validate({"database_url": database_dsn, "model_path": own}, by_name=True)
    backend = open_backend(SEMANTIC, settings, Metrics(), MemoryGuard(MemoryLimit(100, "test", lambda: 0)))
    assert [hit.id for hit in (await backend.search(Query("forecast", 10, soon()))).hits] == ["w"]
    niceness = [child.nice() for child in psutil.Process().children() if str(own) in child.cmdline()]
    await backend.close()
    assert niceness == [min(LOWEST_PRIORITY, psutil.Process().nice() + QUERIES_STEP_BACK)]


async def test_a_search_does_not_wait_for_the_embedder(
    writer: SemanticWriter, database_dsn: str, model_path: Path
) -> None:
    """While it is started for the first time, or again, a search says so at once, and the documents are still there."""
    await put(writer, upsert("w", WEATHER, offset=1))
    backend = SemanticBackend(database_dsn, EmbedderOptions(model_path), Metrics())
    backend.start_embedder()
    starting = [backend.is_starting]
    began = time.monotonic()
    for ask_it in (backend.search(Query("forecast", 5, Deadline.after(1))), backend.stats(Deadline.after(1))):
        with pytest.raises(BackendStarting, match="the embedder is still starting"):
            await ask_it
    assert time.monotonic() - began < 0.4
    assert list(await backend.fetch([DocumentId("w")], soon())) == ["w"]
    assert await found(backend, "forecast") == ["w"], "a search with time to spare waits"
    starting.append(backend.is_starting)
    assert starting == [True, False]
    await backend.close()


async def test_a_model_that_is_not_there_is_loaded_when_it_is(
    writer: SemanticWriter, database_dsn: str, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever searches before is told why there is no answer; the start is over, so that nobody waits for it."""
    monkeypatch.setattr("indexer.semantic.query_model.RETRY_SECONDS", 0.1)
    await put(writer, upsert("w", WEATHER, offset=1))
    model = tmp_path / "model.gguf"
    backend = SemanticBackend(database_dsn, EmbedderOptions(model), Metrics())
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match=r"model\.gguf cannot be read"):
            await ask(backend, "forecast")
        assert not backend.is_starting
    shutil.copy(model_path, model)

    async def answers() -> bool:
        try:
            return await found(backend, "forecast") == ["w"]
        except BackendUnavailable:
            return False

    await until(answers, "the model is loaded", 30)
    await backend.close()


async def test_the_embedder_is_started_before_anybody_searches(database_dsn: str, model_path: Path) -> None:
    """So the first search finds it: starting takes longer than most searches may."""
    before = set(psutil.Process().children())
    settings = Settings.model_validate({"database_url": database_dsn, "model_path": model_path}, by_name=True)
    backend = open_backend(SEMANTIC, settings, Metrics(), MemoryGuard(MemoryLimit(100, "test", lambda: 0)))

    async def one_more() -> bool:
        return bool(set(psutil.Process().children()) - before)

    await until(one_more, "the embedder's process is there")
    await backend.close()
    assert set(psutil.Process().children()) <= before
