"""An indexer dies at a named point: it has the topic up to its watermark, and goes on from there."""

import asyncio
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from indexer.backend import SearchBackend
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable
from indexer.registry import open_backend
from indexer.resources import MemoryGuard, memory_limit
from streams.metrics import Metrics
from streams.settings import METHODS, Settings, variable
from tests.system.crash_points import EVERY, POINTS, CrashPoint
from tests.system.history import publish_history
from tests.system.oracle import Past, past_of
from tests.system.processes import program
from tests.system.waiting import until

DOCUMENTS = 120
SEED = 1
SHORT = ("records-fetched", "before-manifest", "manifest-unsynced", "tantivy-committed", "before-postgres-commit")
"""Points of the quick form, at each of their indexes; `make test-faults` has them all."""

CASES = [
    *[(POINTS[name], index) for name in SHORT for index in POINTS[name].indexes],
    (POINTS["after-dead-letter"], "bm25"),
]


class Stage:
    """A topic with a past, and settings for indexes that are to read it.

    Args:
        bootstrap: of Kafka.
        documents: new ones in the past.
        seed: of the past.
    """

    def __init__(self, bootstrap: str, documents: int, seed: int) -> None:
        self._settings = Settings().model_copy(
            update={"kafka_bootstrap_servers": bootstrap, "topic": f"points-{uuid4().hex}", "partitions": 3}
        )
        dice = random.Random(seed)
        asyncio.run(publish_history(self._settings, range(documents), dice, bad_share=0.1))
        self.past: Past = asyncio.run(past_of(bootstrap, self._settings.topic))

    def settings(self, data_dir: Path, database_url: str, model: Path) -> Settings:
        """Settings of indexes of one's own; small batches, so that there are many commits."""
        return self._settings.model_copy(
            update={
                "database_url": SecretStr(database_url),
                "model_path": model,
                "data_dir": data_dir,
                "batch_documents": 20,
                "embedding_threads": 1,
                "bad_record_share": 1.0,
            }
        )


def environment(settings: Settings) -> dict[str, str]:
    """Settings as a process gets them."""
    names = ("data_dir", "topic", "partitions", "batch_documents", "embedding_threads", "bad_record_share")
    assert settings.database_url is not None
    return {variable(name): str(getattr(settings, name)) for name in names} | {
        "KAFKA_BOOTSTRAP_SERVERS": str(settings.kafka_bootstrap_servers),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "MODEL_PATH": str(settings.model_path),
    }


async def differences(backend: SearchBackend, past: Past) -> list[str]:
    """In what an index is not the topic up to its own watermark."""
    try:
        state = await backend.stats(Deadline.after(30))
    except BackendUnavailable:
        return []  # not built yet: it has promised nothing
    expected = past.view(state.watermark.offsets)
    found = await backend.fetch(sorted({change.id for change in past.changes}), Deadline.after(30))
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    counts = [] if state.documents == len(expected) else [f"{state.documents} documents for {len(expected)}"]
    return counts + [f"{name}: {found.get(name)} for {expected.get(name)}" for name in names]


async def has_read_all(backend: SearchBackend, end: Mapping[int, int]) -> bool:
    """Whether an index stands at the end of its topic."""
    try:
        state = await backend.stats(Deadline.after(30))
    except BackendUnavailable:
        return False
    return state.watermark.offsets == end


async def crash_and_go_on(point: CrashPoint, passage: int, index: str, settings: Settings, past: Past) -> list[str]:
    """Let an indexer die at a point, and another one take over.

    Returns:
        what was wrong with the index after the crash, and in the end.
    """
    log = settings.data_dir / f"{index}.log"
    settings.data_dir.mkdir(parents=True)
    given = environment(settings)
    deadly = [point.name, str(passage), "index", index]
    with program(deadly, given, log, module="tests.system.crash_points") as indexer:
        assert indexer.wait(120) == -signal.SIGKILL, indexer.output
    backend = open_backend(index, settings, Metrics(), MemoryGuard(memory_limit(None)))
    try:
        wrong = await differences(backend, past)
        with program(["index", index], given, log) as indexer:
            await until(lambda: has_read_all(backend, past.end), f"{index} reads on: {indexer.output}")
            assert indexer.stop() == 0, indexer.output
        return wrong + await differences(backend, past)
    finally:
        await backend.close()


@pytest.fixture(scope="module")
def stage(kafka_bootstrap: str) -> Stage:
    """A topic for all points."""
    return Stage(kafka_bootstrap, DOCUMENTS, SEED)


@pytest.mark.parametrize(("point", "index"), CASES, ids=[f"{point.name}-{index}" for point, index in CASES])
async def test_an_indexer_dies_at_a_named_point(
    stage: Stage, point: CrashPoint, index: str, tmp_path: Path, database_dsn: str, model_path: Path
) -> None:
    """Nothing before the watermark is lost, nothing behind it is there, and in the end all is as in the topic."""
    passage = random.Random(f"{SEED} {point.name} {index}").randint(1, point.passages)
    settings = stage.settings(tmp_path / "data", database_dsn, model_path)
    assert await crash_and_go_on(point, passage, index, settings, stage.past) == []


def test_every_index_has_points_of_its_own() -> None:
    """At which its commit can be torn."""
    assert set(EVERY) == set(METHODS)
    for index in METHODS:
        assert sum(index in point.indexes for point in POINTS.values()) >= 6
