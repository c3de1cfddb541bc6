"""The model that queries are embedded with: that of the live generation, as soon as it is loaded.

When a generation with another model is put live, its model is loaded beside the one in use; searches go on with that
one, over the generation that it belongs to, until the new one answers.

The first model is loaded in the background too, again and again where that fails; searches do not wait for it, unless
they have time to spare.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

import msgspec
import structlog

from indexer.deadline import Deadline
from indexer.embedding import (
    EmbedderDied,
    EmbedderOptions,
    EmbedderProcess,
    EmbeddingFault,
    QueryEmbeddings,
    QueryMetrics,
    patience,
)
from indexer.errors import BackendStarting, BackendUnavailable
from indexer.semantic.embedders import place_of_model
from indexer.semantic.schema import SemanticGeneration

RETRY_SECONDS: Final = 5.0

_log = structlog.stdlib.get_logger(__name__)


class QueryModel:
    """One model, started, with the vectors of recent queries.

    Attributes:
        embedder: runs it.
        queries: embeds by it.
    """

    def __init__(self, embedder: EmbedderProcess, metrics: QueryMetrics) -> None:
        self.embedder = embedder
        self.queries = QueryEmbeddings(embedder, metrics)
        self._uses = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def sha256(self) -> str:
        """Of the model's file."""
        return self.embedder.description.sha256

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it from being closed."""
        self._uses += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                self._idle.set()

    async def close(self) -> None:
        """End its process once nobody uses it any more."""
        await self._idle.wait()
        await self.embedder.close()


class QueryModels:
    """The model in use, and the one that is to take its place.

    Args:
        options: of the model to begin with.
        metrics: of the queries that are embedded.
    """

    def __init__(self, options: EmbedderOptions, metrics: QueryMetrics) -> None:
        self._options = options
        self._metrics = metrics
        self._model: QueryModel | None = None
        self._trouble = "the embedder was not started"
        self._tried = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._following_again_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def tried(self) -> bool:
        """Whether the first model was loaded, or could not be when that was tried first."""
        return self._tried.is_set()

    def start(self) -> None:
        """Begin to load the first model in the running event loop, unless that was begun before."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())

    @contextlib.asynccontextmanager
    async def current(self, deadline: Deadline) -> AsyncIterator[QueryModel]:
        """The model in use; it is not closed before the block ends.

        Raises:
            DeadlineExceeded: the time is up.
            BackendStarting: it is still being loaded, and there is no time to wait for that.
            BackendUnavailable: it could not be loaded; that will be tried again.
        """
        self.start()
        if self._model is None:
            await self._wait_a_little(deadline)
        if self._model is None:
            raise BackendUnavailable(self._trouble)
        with self._model.in_use():
            yield self._model

    def follow(self, generation: SemanticGeneration) -> None:
        """Load the model of a generation in the background and use it from then on."""
        if self._following is not None or time.monotonic() < self._following_again_at:
            return
        self._following = asyncio.create_task(self._follow(generation))

    def clear_caches(self) -> None:
        """Forget the vectors of queries."""
        if self._model is not None:
            self._model.queries.clear()

    async def close(self) -> None:
        """End all processes."""
        for task in (self._following, self._starting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._model is not None:
            await self._model.embedder.close()
        for closing in tuple(self._closing):
            await closing

    async def _start(self) -> None:
        while self._model is None:
            try:
                self._model = await self._started(self._options)
            except (EmbeddingFault, EmbedderDied) as exc:
                self._trouble = str(exc)
                _log.warning("model not loaded", reason=self._trouble)
            finally:
                self._tried.set()
            if self._model is None:
                await asyncio.sleep(RETRY_SECONDS)

    async def _wait_a_little(self, deadline: Deadline) -> None:
        deadline.check()
        try:
            async with asyncio.timeout(patience(deadline)):
                await self._tried.wait()
        except TimeoutError as exc:
            raise BackendStarting("the embedder is still starting") from exc

    async def _started(self, options: EmbedderOptions) -> QueryModel:
        return QueryModel(await EmbedderProcess.start(options), self._metrics)

    async def _follow(self, generation: SemanticGeneration) -> None:
        try:
            await self._replace(generation)
        except EmbeddingFault as exc:
            _log.warning("model of the live generation not loaded", generation=generation.name, reason=str(exc))
        finally:
            self._following_again_at = time.monotonic() + RETRY_SECONDS
            self._following = None

    async def _replace(self, generation: SemanticGeneration) -> None:
        place = await asyncio.to_thread(place_of_model, generation, self._options.model)
        model = await self._started(msgspec.structs.replace(self._options, model=place))
        if model.sha256 != generation.settings.model_sha256:
            await model.close()
            raise EmbeddingFault(f"{place} is not the model that generation {generation.name} has")
        former, self._model = self._model, model
        if former is not None:
            closing = asyncio.create_task(former.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        _log.info("queries are embedded by another model", generation=generation.name, model=str(place))
