"""The semantic index as the contract tests of both seams see it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from indexer.backend import SearchBackend
from indexer.dump import IndexDump
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.semantic import SemanticBackend, SemanticWriter, open_dump
from indexer.semantic.recent_vectors import RecentVectors
from indexer.writer import IndexWriter
from streams.metrics import Metrics


class SemanticIndex:
    """The semantic index in one database."""

    matches_words = False

    def __init__(self, database_url: str, model: EmbedderOptions, embedder: EmbedderProcess) -> None:
        self._database_url = database_url
        self._model = model
        self._embedder = embedder
        self._recent = RecentVectors(embedder)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, database_url: str, model_path: Path) -> AsyncIterator["SemanticIndex"]:
        """The index with its embedder."""
        model = EmbedderOptions(model_path, threads=2)
        embedder = await EmbedderProcess.start(model)
        yield cls(database_url, model, embedder)
        await embedder.close()

    async def open_writer(self) -> IndexWriter:
        """Open the writer; those of one index share vectors, as those of one indexer do."""
        return await SemanticWriter.open(self._database_url, self._embedder, recent=self._recent)

    async def open_backend(self) -> SearchBackend:
        """Open a backend, with an embedder of its own."""
        return SemanticBackend(self._database_url, self._model, Metrics())

    def open_dump(self) -> contextlib.AbstractAsyncContextManager[IndexDump]:
        """Open a dump."""
        return open_dump(self._database_url)
