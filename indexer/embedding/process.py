"""The parent's side of the embedder: starts its process, hands it one request at a time, restarts it when it dies."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from indexer.backoff import delay_after
from indexer.deadline import Deadline
from indexer.embedding.errors import EmbedderDied, EmbeddingFault
from indexer.embedding.life import EmbedderOptions, WorkerLife, expect
from indexer.embedding.protocol import (
    CountTokens,
    Embed,
    ModelDescription,
    Request,
    Response,
    TokenCounts,
    Vectors,
    encode_frame,
)
from indexer.errors import BackendUnavailable, DeadlineExceeded

MAX_WAITING: Final = 64
BACKOFF_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)

_COUNT_BATCH: Final = 10_000

Vectors32 = npt.NDArray[np.float32]

_log = structlog.stdlib.get_logger(__name__)


class EmbedderProcess:
    """A model in a process of its own. Safe for concurrent tasks: requests are answered in their order.

    Use `await EmbedderProcess.start(options)`, and `close` it in the end.
    """

    def __init__(self, options: EmbedderOptions, sha256: str) -> None:
        self._options = options
        self._sha256 = sha256
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(MAX_WAITING)
        self._worker: WorkerLife | None = None
        self._deaths = 0
        self._description: ModelDescription | None = None
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, options: EmbedderOptions) -> "EmbedderProcess":
        """Start the process and wait until it has loaded its model and passed the self-test.

        Raises:
            EmbeddingFault: the model cannot be used.
            EmbedderDied: the process ended, or did not start in time.
        """
        try:
            sha256 = await asyncio.to_thread(_sha256, options.model)
        except OSError as exc:
            raise EmbeddingFault(f"the model {options.model} cannot be read: {exc.strerror}") from exc
        embedder = cls(options, sha256)
        try:
            await embedder._running()
        except BaseException:
            await embedder.close()
            raise
        embedder._serving = asyncio.create_task(embedder._serve())
        return embedder

    @property
    def description(self) -> ModelDescription:
        """What the model is."""
        if self._description is None:
            raise EmbedderDied("the embedder was not started")
        return self._description

    @property
    def model_path(self) -> Path:
        """Where the model is."""
        return self._options.model.absolute()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    async def count_tokens(self, texts: Sequence[str], deadline: Deadline) -> list[int]:
        """The number of tokens of each text, on its own.

        Raises:
            DeadlineExceeded: the time ran out.
            EmbedderDied: the process ended over this request.
            BackendUnavailable: too many requests are waiting.
        """
        counts: list[int] = []
        for start in range(0, len(texts), _COUNT_BATCH):
            response = await self._ask(CountTokens(list(texts[start : start + _COUNT_BATCH])), deadline)
            counts += expect(response, TokenCounts).counts
        return counts

    async def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Vectors32:
        """Embed passages of documents.

        Args:
            texts: without prefix, each no longer than the model reads.
            deadline: when to give up.

        Returns:
            Array of shape (len(texts), dimensions), float32; rows have unit length, unless the model failed on
            a text: then they are not finite or zero.

        Raises:
            TextTooLong: one of the texts is too long.
            DeadlineExceeded: the time ran out.
            EmbedderDied: the process ended over this request.
            BackendUnavailable: too many requests are waiting.
        """
        if not texts:
            return np.empty((0, self.description.dimensions), dtype=np.float32)
        prefix = self.description.document_prefix
        response = await self._ask(Embed([prefix + text for text in texts]), deadline)
        return self._rows(expect(response, Vectors))

    async def embed_query(self, text: str, deadline: Deadline) -> tuple[Vectors32, bool]:
        """Embed a query, as far as the model reads it.

        Returns:
            Array of shape (dimensions,), float32, and whether the query was cut.

        Raises:
            DeadlineExceeded: the time ran out.
            EmbedderDied: the process ended over this request.
            BackendUnavailable: too many requests are waiting.
        """
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent, and means nothing
        response = await self._ask(Embed([self.description.query_prefix + clean], shorten=True), deadline)
        vectors = expect(response, Vectors)
        return self._rows(vectors)[0], vectors.shortened

    async def close(self) -> None:
        """End the process."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        while not self._jobs.empty():
            self._jobs.get_nowait().fail(EmbedderDied("the embedder was closed"))
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None

    async def _ask(self, request: Request, deadline: Deadline) -> Response:
        deadline.check()
        if self._serving is None or self._serving.done():
            raise EmbedderDied("the embedder was closed")
        job = _Job(encode_frame(request))
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull as exc:
            raise BackendUnavailable(f"{MAX_WAITING} requests are waiting for the embedder") from exc
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await job.answer
        except TimeoutError as exc:
            raise DeadlineExceeded("the embedder took too long") from exc

    async def _serve(self) -> None:
        while True:
            job = await self._jobs.get()
            if job.answer.done():  # nobody waits for it any more
                continue
            try:
                job.succeed(await self._exchange(job.frame))
            except (BackendUnavailable, EmbeddingFault) as exc:
                job.fail(exc)
            except BaseException:
                job.fail(EmbedderDied("the embedder was closed"))
                raise

    async def _exchange(self, frame: bytes) -> Response:
        try:
            worker = await self._running()
        except EmbedderDied as exc:  # not over this request: nobody should blame its texts
            raise BackendUnavailable(f"the embedder does not start: {exc}") from exc
        return await worker.exchange(frame)

    async def _running(self) -> WorkerLife:
        """The process, started again if it died; after each death without an answer in between a little later."""
        if self._worker is not None and self._worker.alive:
            return self._worker
        if self._worker is not None:
            self._deaths = 0 if self._worker.answered else self._deaths + 1
            await self._worker.stop()
            _log.warning("embedder is started again", deaths=self._deaths + 1)
        await asyncio.sleep(delay_after(self._deaths, BACKOFF_SECONDS))
        self._worker = await WorkerLife.spawn(self._options)
        described = await self._worker.describe()
        self._description = msgspec.structs.replace(described, sha256=self._sha256)
        return self._worker

    def _rows(self, vectors: Vectors) -> Vectors32:
        return np.frombuffer(vectors.data, dtype="<f4").reshape(-1, self.description.dimensions)


class _Job:
    """A request as it is sent, and the future of its answer."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def succeed(self, response: Response) -> None:
        if not self.answer.done():
            self.answer.set_result(response)

    def fail(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
