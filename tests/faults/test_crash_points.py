"""Every named point of every indexer, twice each at a passage drawn by the seed: experiment 2."""

import asyncio
import random
from pathlib import Path

import asyncpg
import pytest

from tests.faults.figures import experiment
from tests.system.crash_points import POINTS
from tests.system.test_crash_points import Stage, crash_and_go_on

DOCUMENTS = 2_000
SEEDS = (1, 2)
LEAST_RUNS = 51


@pytest.fixture(scope="module")
def stage(kafka_bootstrap: str) -> Stage:
    """A topic for all points."""
    return Stage(kafka_bootstrap, DOCUMENTS, SEEDS[0])


async def empty(database_url: str) -> None:
    """Forget the semantic index."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA IF EXISTS embed_search CASCADE")
    await connection.close()


@pytest.mark.timeout(3_600)
def test_an_indexer_dies_at_every_point(stage: Stage, tmp_path: Path, database_dsn: str, model_path: Path) -> None:
    """After each death the index is the topic up to its watermark, and in the end it is all of the topic."""
    cases = [(point, index) for point in POINTS.values() for index in point.indexes]
    runs, wrong = 0, list[str]()
    for seed in SEEDS:
        for point, index in cases:
            name = f"{point.name}-{index}-{seed}"
            asyncio.run(empty(database_dsn))
            settings = stage.settings(tmp_path / name, database_dsn, model_path)
            passage = random.Random(name).randint(1, point.passages)
            found = asyncio.run(crash_and_go_on(point, passage, index, settings, stage.past))
            wrong += [f"{name} at passage {passage}: {each}" for each in found]
            runs += 1
    with experiment(f"2 kill -9 at named points, {DOCUMENTS} documents") as figures:
        figures.at_least("runs", runs, LEAST_RUNS)
        figures.exactly("documents lost, stale, doubled or too new", len(wrong), 0, examples=wrong[:5])
