"""Runs many histories, drawn by Hypothesis; what fails is made as short as it can be."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.semantic.schema import SCHEMA
from tests.indexer.contract.harness import LocalIndex
from tests.indexer.contract.history import STEPS, History, Step
from tests.indexer.semantic.contract import SemanticIndex

LEAST_STEPS, MOST_STEPS = 20, 50

_HISTORIES = st.lists(STEPS, min_size=LEAST_STEPS, max_size=MOST_STEPS)
_REMOVED_WITHIN = 10.0
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is made by mkdtemp
"""No history is about a disk, which takes most of the time of one: `tests/faults/test_disks.py` is."""
_UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]


def local_histories(name: str, count: int) -> None:
    """So many histories of an engine on local files."""

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=_UNHURRIED)
    @given(steps=_HISTORIES)
    def run(steps: list[Step]) -> None:
        with _scratch() as root:
            asyncio.run(History(LocalIndex(name, root)).take(steps))

    run()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A directory that is removed even while a thread of Tantivy, whose writer was closed, ends its merge in it."""
    root = Path(tempfile.mkdtemp(prefix="embed-search-history-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None))
    try:
        yield root
    finally:
        give_up = time.monotonic() + _REMOVED_WITHIN
        while root.exists():
            shutil.rmtree(root, ignore_errors=time.monotonic() < give_up)


def semantic_histories(database_dsn: str, model_path: Path, count: int) -> None:
    """So many histories of the semantic index in one database."""
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        running = SemanticIndex.running(database_dsn, model_path)
        index = runner.run(running.__aenter__())
        stack.callback(lambda: runner.run(running.__aexit__(None, None, None)))

        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=_UNHURRIED)
        @given(steps=_HISTORIES)
        def run(steps: list[Step]) -> None:
            runner.run(_empty(database_dsn))
            runner.run(History(index).take(steps))

        run()


async def _empty(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    finally:
        await connection.close()
