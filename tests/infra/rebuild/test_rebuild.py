"""Rebuilds of all four indexes, by the commands, beside running indexers, writes and searches."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from indexer.rebuild.phases import GenerationInfo, Phase
from indexer.registry import open_backend, open_catalogue
from indexer.resources import MemoryGuard, MemoryLimit
from infra.verification.address import TopicAddress
from infra.verification.convergence import compare
from streams.metrics import Metrics
from streams.settings import METHODS, Settings
from tests.streams.kafka import make_topics, produce
from tests.system.processes import Program, program, run_command
from tests.system.waiting import until

_WRITE_EVERY = 0.25
_SEARCH_EVERY = 0.02
"""Seconds between two writes, and two searches: traffic, not a wait for anything."""

WORDS = "engine hull rudder mast keel anchor bowline halyard"


@pytest.fixture
async def settings(kafka_bootstrap: str, database_dsn: str, model_path: Path, tmp_path: Path) -> Settings:
    """A topic with versions of documents, and stores of the test's own."""
    topic = await make_topics(kafka_bootstrap)
    return Settings.model_validate(
        {
            "kafka_bootstrap_servers": kafka_bootstrap,
            "database_url": database_dsn,
            "model_path": model_path,
            "data_dir": tmp_path / "data",
            "topic": topic,
            "batch_documents": 20,
            "batch_age_ms": 100,
        },
        by_name=True,
    )


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The same settings as a child process gets them."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": str(settings.kafka_bootstrap_servers),
        "DATABASE_URL": settings.database_url.get_secret_value() if settings.database_url else "",
        "MODEL_PATH": str(settings.model_path),
        "EMBED_SEARCH_DATA_DIR": str(settings.data_dir),
        "EMBED_SEARCH_TOPIC": settings.topic,
        "EMBED_SEARCH_BATCH_DOCUMENTS": str(settings.batch_documents),
        "EMBED_SEARCH_BATCH_AGE_MS": str(settings.batch_age_ms),
        "EMBED_SEARCH_EMBEDDING_THREADS": "1",
    } | more


async def publish(settings: Settings, *records: tuple[str, str | None]) -> None:
    """Publish versions of documents by id and body; None deletes."""
    values = [(name.encode(), None if body is None else json.dumps({"body": body}).encode()) for name, body in records]
    await produce(str(settings.kafka_bootstrap_servers), settings.topic, values)


async def generations(index: str, settings: Settings) -> dict[Phase, GenerationInfo]:
    """The generations of an index; not more than one is ever in the same phase here."""
    async with open_catalogue(index, settings) as catalogue:
        return {each.phase: each for each in await catalogue.generations()}


@contextmanager
def indexing(settings: Settings, tmp_path: Path, *names: str) -> Iterator[Program]:
    """Indexers, as one process."""
    with program(["index", *names], environment(settings), tmp_path / "indexers.log") as running:
        yield running
        assert running.stop() == 0, running.output


async def holds(index: str, settings: Settings, name: str | None, document: str) -> bool:
    """Whether a generation has a document."""
    async with open_catalogue(index, settings) as catalogue:
        chosen = name or await catalogue.ensure_live()
        async with catalogue.open_dump(chosen) as dump:
            return document in {each.id async for batch in dump.batches() for each in batch}


async def until_holds(index: str, settings: Settings, name: str | None, document: str) -> None:
    """Wait until a generation, or the live one, has a document."""
    await until(lambda: holds(index, settings, name, document), f"{document} in {name or 'the live'} {index}")


async def check_equal(settings: Settings, scratch: Path, *indexes: str) -> None:
    """Every index holds what the topic says."""
    address = TopicAddress(str(settings.kafka_bootstrap_servers), settings.topic, settings.dead_letter_topic)
    scratch.mkdir()
    for report in await compare(settings, address, indexes, scratch=scratch, shown=5, on_step=lambda _: None):
        assert report.equal, report


@asynccontextmanager
async def searching(settings: Settings, *indexes: str) -> AsyncIterator[list[str]]:
    """Search all indexes in turn while the block runs; gives what went wrong."""
    memory = MemoryGuard(MemoryLimit(100, "test", lambda: 0))
    backends = {index: open_backend(index, settings, Metrics(), memory) for index in indexes}
    for backend in backends.values():
        await until(partial(_answers, backend), "an answer")
    wrong: list[str] = []
    stop = asyncio.Event()

    async def search() -> None:
        while not stop.is_set():
            for index, backend in backends.items():
                try:
                    answer = await backend.search(Query("rudder", 10, Deadline.after(20)))
                except IndexFault as exc:
                    wrong.append(f"{index}: {exc}")
                else:
                    if not answer.hits:
                        wrong.append(f"{index}: no hits")
                await asyncio.sleep(_SEARCH_EVERY)

    running = asyncio.create_task(search())
    try:
        yield wrong
    finally:
        stop.set()
        await running
        for backend in backends.values():
            await backend.close()


async def _answers(backend: SearchBackend) -> bool:
    try:
        return bool((await backend.search(Query("rudder", 10, Deadline.after(10)))).hits)
    except IndexFault:
        return False


def outcomes(output: str) -> Sequence[dict[str, Any]]:
    """What `rebuild --json` printed."""
    decoded: Sequence[dict[str, Any]] = json.loads(output)
    return decoded


async def test_all_indexes_are_rebuilt_beside_writes_and_searches(settings: Settings, tmp_path: Path) -> None:
    """New settings for bm25, another model for semantic: no search fails, nothing is lost, and back again at once."""
    await publish(settings, *((f"d{n}", f"{WORDS} number {n}") for n in range(60)), ("d7", None), ("d8", "a rudder"))
    other = tmp_path / "other.gguf"
    other.write_bytes(settings.model_path.read_bytes() + bytes(64))  # type: ignore[union-attr] # set above
    golden = tmp_path / "golden.ndjson"
    golden.write_text('{"query": "halyard"}\n{"query": "rudder", "relevant": {"d8": 1}}\n')
    with indexing(settings, tmp_path, *METHODS):
        async with searching(settings, *METHODS) as wrong:
            await until_holds("semantic", settings, None, "d59")
            again = ["rebuild", "all", "--json", "--golden", str(golden), "--model", str(other), "--min-overlap", "0.1"]
            with program(
                [*again, "--max-latency-ratio", "100"],
                environment(settings, EMBED_SEARCH_BM25_STEMMER="none"),
                tmp_path / "rebuild.log",
            ) as rebuilding:
                count = 0
                while rebuilding.running:
                    await publish(settings, (f"w{count % 50}", f"rudder and wake {count}"))
                    count += 1
                    await asyncio.sleep(_WRITE_EVERY)
                assert rebuilding.wait() == 0, rebuilding.output
            await publish(settings, ("last", "a rudder at the end"))
            for index in METHODS:
                told = await generations(index, settings)
                assert (told[Phase.LIVE].name, told[Phase.PREVIOUS].name) == ("g000002", "g000001")
                for name in ("g000001", "g000002"):  # both are fed
                    await until_holds(index, settings, name, "last")
            assert "stemmer=none" in (await generations("bm25", settings))[Phase.LIVE].built_with
            await check_equal(settings, tmp_path / "new", *METHODS)
            for index in METHODS:
                done = run_command(["rollback", index, "--json"], environment(settings))
                assert json.loads(done.stdout) == {"index": index, "live": "g000001", "previous": "g000002"}
            await publish(settings, ("after", "a rudder after all"))
            for index in METHODS:
                await until_holds(index, settings, None, "after")
            await check_equal(settings, tmp_path / "old", *METHODS)
        assert wrong == []


async def test_a_killed_rebuild_goes_on_where_it_was_left(settings: Settings, tmp_path: Path) -> None:
    """What is live is not touched, and no second generation is begun; two rebuilds at once are refused."""
    # More than one poll gives: else there is no moment at which a part of them has been read.
    await publish(settings, *((f"d{n}", f"{WORDS} number {n}") for n in range(1_400)))
    with indexing(settings, tmp_path, "native"):
        await until_holds("native", settings, None, "d1399")
        slow = environment(settings, EMBED_SEARCH_REBUILD_SHARE="0.02")
        with program(["rebuild", "native"], slow, tmp_path / "first.log") as first:
            await until(lambda: _has_read("native", settings), "a replay under way")
            second = run_command(["rebuild", "native"], environment(settings))
            assert (second.returncode, "another" in second.stderr) == (1, True)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
        left = await generations("native", settings)
        assert (left[Phase.LIVE].name, left[Phase.REPLAYING].name) == ("g000001", "g000002")
        done = run_command(["rebuild", "native", "--promote", "manual"], environment(settings))
        assert done.returncode == 0, done.stderr
        assert "native g000002 is ready: embed-search promote (1,400 documents" in done.stdout
        await publish(settings, ("last", "fed while it waits"))
        await until_holds("native", settings, "g000002", "last")
        assert json.loads(run_command(["promote", "native", "--json"], environment(settings)).stdout) == {
            "index": "native",
            "live": "g000002",
            "previous": "g000001",
        }
        await check_equal(settings, tmp_path / "check", "native")


@pytest.mark.parametrize(
    ("index", "point", "swapped"),
    [
        ("bm25", "swap-prepared", False),
        ("bm25", "swap-renamed", True),
        ("semantic", "swap-in-database", False),
        ("semantic", "swapped-in-database", True),
    ],
)
async def test_a_rebuild_killed_around_its_swap_is_not_done_again(
    settings: Settings, tmp_path: Path, index: str, point: str, *, swapped: bool
) -> None:
    """Either it is live and fed, or the next rebuild proves it once more and puts it live."""
    await publish(settings, *((f"d{n}", f"{WORDS} number {n}") for n in range(30)))
    with indexing(settings, tmp_path, index):
        await until_holds(index, settings, None, "d29")
        dying = [point, "1", "rebuild", index, "--max-latency-ratio", "100"]
        with program(dying, environment(settings), tmp_path / "dying.log", module="tests.system.crash_points") as first:
            assert first.wait() == -signal.SIGKILL, first.output
        await publish(settings, ("last", "a rudder at the end"))
        left = await generations(index, settings)
        assert {phase: each.name for phase, each in left.items()} == (
            {Phase.PREVIOUS: "g000001", Phase.LIVE: "g000002"}
            if swapped
            else {Phase.LIVE: "g000001", Phase.REPLAYING: "g000002"}
        )
        if not swapped:
            done = run_command(["rebuild", index, "--max-latency-ratio", "100"], environment(settings))
            assert f"{index} g000002 is live (31 documents" in done.stdout, done.stderr
        for name in ("g000001", "g000002"):
            await until_holds(index, settings, name, "last")
        await check_equal(settings, tmp_path / "check", index)


async def _has_read(index: str, settings: Settings) -> bool:
    replaying = (await generations(index, settings)).get(Phase.REPLAYING)
    return bool(replaying and replaying.record and 0 < replaying.record.read < replaying.record.total)


async def test_what_does_not_prove_itself_does_not_go_live(settings: Settings, tmp_path: Path) -> None:
    """The live generation stays, and the reason is told; an operator may still insist."""
    await publish(settings, *((f"d{n}", f"sailing sail sails number {n}") for n in range(30)))
    golden = tmp_path / "golden.ndjson"
    golden.write_text('{"query": "sailed", "relevant": {"d3": 1}}\n')
    with indexing(settings, tmp_path, "bm25"):
        await until_holds("bm25", settings, None, "d29")
        plain = environment(settings, EMBED_SEARCH_BM25_STEMMER="none")
        done = run_command(["rebuild", "bm25", "--json", "--golden", str(golden)], plain)
        assert done.returncode == 1
        (outcome,) = outcomes(done.stdout)
        assert outcome["promoted"] is False
        assert outcome["verdict"]["comparison"]["documents"] == 30
        assert "its best ten share 0.00" in outcome["verdict"]["reasons"][0]
        told = await generations("bm25", settings)
        assert (told[Phase.LIVE].name, told[Phase.REFUSED].name) == ("g000001", "g000002")
        record = told[Phase.REFUSED].record
        assert record is not None
        assert record.reasons == tuple(outcome["verdict"]["reasons"])
        for wrong in (["promote", "bm25"], ["promote", "bm25", "--generation", "g000009"], ["rollback", "bm25"]):
            refused = run_command(wrong, environment(settings))
            assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert run_command(["promote", "bm25", "--generation", "g000002"], environment(settings)).returncode == 0
        assert (await generations("bm25", settings))[Phase.LIVE].name == "g000002"
