"""Kill -9 of an indexer in mid-stream, for each of the four indexes."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from indexer.backend import IndexStats, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable
from indexer.registry import open_backend
from indexer.resources import MemoryGuard, memory_limit
from streams.document import DocumentId
from streams.metrics import Metrics
from streams.settings import METHODS, Settings
from tests.system.history import publish_history
from tests.system.oracle import compacted_view
from tests.system.processes import program
from tests.system.waiting import until

KILLS = 3
DOCUMENTS_A_LIFE = 120
DOCUMENTS = KILLS * DOCUMENTS_A_LIFE


@pytest.fixture
def settings(kafka_bootstrap: str, database_dsn: str, model_path: Path, tmp_path: Path) -> Settings:
    """A topic, a database and a folder of this test's own; small batches, so that a kill falls between commits."""
    return Settings().model_copy(
        update={
            "kafka_bootstrap_servers": kafka_bootstrap,
            "database_url": SecretStr(database_dsn),
            "model_path": model_path,
            "data_dir": tmp_path / "data",
            "topic": f"crash-{uuid4().hex}",
            "partitions": 3,
            "batch_documents": 20,
        }
    )


@pytest.fixture
def environment(settings: Settings, database_dsn: str) -> dict[str, str]:
    """The same settings as a child process gets them."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": str(settings.kafka_bootstrap_servers),
        "DATABASE_URL": database_dsn,
        "MODEL_PATH": str(settings.model_path),
        "EMBED_SEARCH_DATA_DIR": str(settings.data_dir),
        "EMBED_SEARCH_TOPIC": settings.topic,
        "EMBED_SEARCH_PARTITIONS": str(settings.partitions),
        "EMBED_SEARCH_BATCH_DOCUMENTS": str(settings.batch_documents),
        "EMBED_SEARCH_EMBEDDING_THREADS": "1",
    }


@pytest.fixture
async def backend(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[SearchBackend]:
    """The index under test, as the API reads it."""
    opened = open_backend(request.param, settings, Metrics(), MemoryGuard(memory_limit(None)))
    yield opened
    await opened.close()


async def stats(backend: SearchBackend) -> IndexStats | None:
    """The index's state, or None before it exists."""
    try:
        return await backend.stats(Deadline.after(10))
    except BackendUnavailable:
        return None


async def records_read(backend: SearchBackend) -> int:
    """How many offsets the index has behind it."""
    state = await stats(backend)
    return sum(state.watermark.offsets.values()) if state else 0


async def has_read(backend: SearchBackend, goal: int) -> bool:
    """Whether the index has read so many records."""
    return await records_read(backend) >= goal


@pytest.mark.parametrize(("index", "backend"), [(name, name) for name in METHODS], indirect=["backend"])
async def test_an_indexer_killed_in_mid_stream_converges_on_the_compacted_topic(
    index: str, backend: SearchBackend, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """After any number of kill -9 the index equals the topic's compacted view, each document once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown by pytest when the test fails
    dice = random.Random(seed)
    read_before = 0
    for life in range(KILLS):
        numbers = range(life * DOCUMENTS_A_LIFE, (life + 1) * DOCUMENTS_A_LIFE)
        publishing = asyncio.create_task(publish_history(settings, numbers, dice))
        goal = read_before + random.Random(seed + life).randrange(1, DOCUMENTS_A_LIFE)
        with program(["index", index], environment, tmp_path / f"{life}.log") as indexer:
            await until(partial(has_read, backend, goal), f"{index} reads {goal} records")
            indexer.kill()
        read_before = await records_read(backend)
        await publishing
    await converges(index, backend, settings, environment, tmp_path / "last.log")


async def converges(
    index: str, backend: SearchBackend, settings: Settings, environment: dict[str, str], log: Path
) -> None:
    """Let the indexer read to the end, stop it in good order, and hold the index against the topic."""
    view = await compacted_view(str(settings.kafka_bootstrap_servers), settings.topic)
    wanted = [DocumentId(document_id) for document_id in view]
    everything = [DocumentId(f"doc/{number}") for number in range(DOCUMENTS)]

    async def equal() -> bool:
        return "indexing" in indexer.output and await backend.fetch(wanted, Deadline.after(10)) == view

    with program(["index", index], environment, log) as indexer:
        await until(equal, f"{index} equals the compacted topic")
        assert indexer.stop() == 0
    state = await stats(backend)
    assert state is not None
    assert state.documents == len(view)
    assert await backend.fetch(everything, Deadline.after(10)) == view
