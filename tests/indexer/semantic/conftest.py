"""A database of the test's own, the real model, and documents to put in."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.semantic import SemanticBackend, SemanticWriter
from streams.metrics import Metrics


@pytest.fixture
async def embedder(model_path: Path) -> AsyncIterator[EmbedderProcess]:
    """The indexing side's embedder."""
    embedder = await EmbedderProcess.start(EmbedderOptions(model_path, threads=os.cpu_count() or 1))
    yield embedder
    await embedder.close()


@pytest.fixture
async def writer(database_dsn: str, embedder: EmbedderProcess) -> AsyncIterator[SemanticWriter]:
    """A writer of an empty index."""
    writer = await SemanticWriter.open(database_dsn, embedder)
    yield writer
    await writer.close()


@pytest.fixture
async def backend(database_dsn: str, model_path: Path) -> AsyncIterator[SemanticBackend]:
    """A backend over the same database, with an embedder of its own."""
    backend = SemanticBackend(database_dsn, EmbedderOptions(model_path), Metrics())
    yield backend
    await backend.close()
