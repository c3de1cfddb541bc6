"""The parent's side of the embedder: starts its process, hands it requests, restarts it when it dies.

While it works on one request it is sent a second, if that is a short one, so that it goes on at once: where processors
are short, this process may come to read an answer only after as long as it takes to embed a query, or several.

It is started again at once, and not by the next request: loading the model takes longer than a query may. What is
asked meanwhile for a document waits for it. A query does not, unless it has time to spare: other methods answer.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from indexer.backoff import delay_after
from indexer.beside import unending
from indexer.deadline import Deadline
from indexer.embedder.protocol import (
    CountTokens,
    Embed,
    ModelDescription,
    Request,
    Response,
    TokenCounts,
    Vectors,
    encode_frame,
)
from indexer.embedding.errors import EmbedderDied, EmbeddingFault, NeverBegun
from indexer.embedding.jobs import MAX_WAITING, Job, JobQueue
from indexer.embedding.life import EmbedderOptions, WorkerLife, expect
from indexer.errors import BackendBusy, BackendStarting, BackendUnavailable, DeadlineExceeded
from indexer.usual import UsualTime

BACKOFF_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)

LASTED_SECONDS: Final = BACKOFF_SECONDS[-1]
"""A process that has run for so long did not die of its start: that of a worker whom nobody asks answers nothing."""

MAX_SENT: Final = 2
"""Requests that the process has at a time. None is begun out of turn then, as none but the shortest are sent ahead."""

_QUEUE_SHARE: Final = 0.4
"""Of a query's time, that it may wait for its turn if it has all patience. What comes after the embedder takes some of
it too, and a vector that is late was computed for nothing."""

_COUNT_BATCH: Final = 10_000
_PATIENCE: Final = 0.1
_SEARCH_SECONDS: Final = 5.0

Vectors32 = npt.NDArray[np.float32]

_log = structlog.stdlib.get_logger(__name__)


def patience(deadline: Deadline) -> float:
    """For how many seconds a query waits for a model that is being loaded.

    A small part of its time, so that its caller soon has the answers of others; where there is more than enough for a
    search, what is beyond that.
    """
    remaining = deadline.remaining()
    return max(_PATIENCE * remaining, remaining - _SEARCH_SECONDS)


class EmbedderProcess:
    """A model in a process of its own. Safe for concurrent tasks: requests are answered one by one, short ones first.

    Use `await EmbedderProcess.start(options)`, and `close` it in the end.
    """

    def __init__(self, options: EmbedderOptions, sha256: str) -> None:
        self._options = options
        self._sha256 = sha256
        self._jobs = JobQueue()
        self._worker: WorkerLife | None = None
        self._deaths = 0
        self._description: ModelDescription | None = None
        self._ready: asyncio.Future[WorkerLife] = asyncio.get_running_loop().create_future()
        self._trouble = ""
        self._usual = UsualTime()
        self._answered_at = 0.0
        self._sent = set[asyncio.Task[Response]]()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

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
            await embedder._start_once()
        except BaseException:
            await embedder.close()
            raise
        embedder._keeping = unending(embedder._keep_alive())
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

    @property
    def is_ready(self) -> bool:
        """Whether a process has loaded the model and was not seen to end."""
        return self._ready.done()

    async def count_tokens(self, texts: Sequence[str], deadline: Deadline) -> list[int]:
        """The number of tokens of each text, on its own.

        Raises:
            DeadlineExceeded: the time ran out.
            EmbedderDied: the process ended over this request.
            BackendBusy: too many requests are waiting.
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
            BackendBusy: too many requests are waiting.
        """
        if not texts:
            return np.empty((0, self.description.dimensions), dtype=np.float32)
        prefix = self.description.document_prefix
        response = await self._ask(Embed([prefix + text for text in texts]), deadline)
        return self._rows(expect(response, Vectors))

    async def embed_query(self, text: str, deadline: Deadline) -> tuple[Vectors32, bool]:
        """Embed a query, as far as a passage goes.

        Returns:
            Array of shape (dimensions,), float32, and whether the query was cut.

        Raises:
            DeadlineExceeded: the time ran out.
            EmbedderDied: the process ended over this request.
            BackendStarting: the process is started again, and there is no time to wait for that.
            BackendBusy: too many requests are waiting for its turn to come in time.
            BackendUnavailable: the process does not start.
        """
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent, and means nothing
        request = Embed([self.description.query_prefix + clean], shorten=True)
        vectors = expect(await self._ask(request, deadline, waits=False), Vectors)
        return self._rows(vectors)[0], vectors.shortened

    async def ping(self, deadline: Deadline) -> None:
        """Have the process do something.

        Raises:
            As `embed_query`.
        """
        await self._ask(CountTokens(["ping"]), deadline, waits=False)

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        for task in (self._keeping, *self._sent):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for job in self._jobs.take_all():
            job.fail(EmbedderDied("the embedder was closed"))
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None

    async def _ask(self, request: Request, deadline: Deadline, *, waits: bool = True) -> Response:
        deadline.check()
        if self._closed:
            raise EmbedderDied("the embedder was closed")
        frame = encode_frame(request)
        if not waits:
            await self._wait_a_little(deadline)
            self._refuse_a_long_wait(frame, deadline)
        job = Job(frame, waits, asyncio.get_running_loop().create_future())
        try:
            self._jobs.put(job)
        except asyncio.QueueFull as exc:
            raise _full() from exc
        self._send()
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await job.answer
        except TimeoutError as exc:
            raise DeadlineExceeded("the embedder took too long") from exc

    def _refuse_a_long_wait(self, frame: bytes, deadline: Deadline) -> None:
        """Tell a query at once that its turn would come too late; those before it are as many as can be answered."""
        waiting = self._jobs.before(frame) + max(0, len(self._sent) - 1)
        if waiting * self._usual.seconds > _QUEUE_SHARE * deadline.patience * deadline.remaining():
            raise BackendBusy(f"{waiting} requests are waiting for the embedder")

    async def _wait_a_little(self, deadline: Deadline) -> None:
        if self._ready.done():
            return
        if self._trouble:
            raise BackendUnavailable(self._trouble)
        try:
            async with asyncio.timeout(patience(deadline)):
                await asyncio.shield(self._ready)
        except TimeoutError as exc:
            raise _starting() from exc

    def _send(self) -> None:
        while not self._closed and len(self._sent) < MAX_SENT:
            job = self._jobs.take(short=bool(self._sent))
            if job is None:
                return
            task = asyncio.create_task(self._exchange(job))
            self._sent.add(task)
            task.add_done_callback(partial(self._end, job))

    def _end(self, job: Job, task: asyncio.Task[Response]) -> None:
        self._sent.discard(task)
        if task.cancelled():
            job.fail(EmbedderDied("the embedder was closed"))
        elif (error := task.exception()) is None:
            job.succeed(task.result())
        elif isinstance(error, NeverBegun):
            self._put_again(job)
        else:
            job.fail(error)
        self._send()

    def _put_again(self, job: Job) -> None:
        """Let a job that its process has not begun wait for the next one, if it does."""
        if not job.waits:
            job.fail(_starting())
            return
        try:
            self._jobs.put(job)
        except asyncio.QueueFull:
            job.fail(_full())

    async def _exchange(self, job: Job) -> Response:
        began = time.monotonic()
        if self._ready.done() and not (worker := self._ready.result()).alive:
            self._lose(worker)
            await worker.stop()  # it may have closed its output and not ended
        if not job.waits and not self._ready.done():
            raise _starting()
        response = await (await asyncio.shield(self._ready)).exchange(job.frame)
        now = time.monotonic()
        self._usual.add(now - max(began, self._answered_at))
        self._answered_at = now
        return response

    async def _keep_alive(self) -> None:
        """Start the process again when it has died; after each death without a use of it a little later."""
        while True:
            worker = await self._ready
            await worker.ended()
            self._lose(worker)
            self._deaths = 0 if worker.answered or worker.seconds() > LASTED_SECONDS else self._deaths + 1
            await worker.stop()
            _log.warning("embedder is started again", deaths=self._deaths + 1)
            await self._start()

    def _lose(self, worker: WorkerLife) -> None:
        """The process has died: who does not wait for another is told at once."""
        if not self._ready.done() or self._ready.result() is not worker:
            return
        self._ready = asyncio.get_running_loop().create_future()
        for job in self._jobs.take_all():
            self._put_again(job)

    async def _start(self) -> None:
        """Start the process, however often that fails; whoever waits for it learns of each failure."""
        while not self._ready.done():
            await asyncio.sleep(delay_after(self._deaths, BACKOFF_SECONDS))
            try:
                await self._start_once()
            except (EmbedderDied, EmbeddingFault) as exc:  # not over a request: nobody should blame its texts
                self._deaths += 1
                self._trouble = f"the embedder does not start: {exc}"
                failed, self._ready = self._ready, asyncio.get_running_loop().create_future()
                failed.set_exception(BackendUnavailable(self._trouble))
                failed.exception()  # nobody has to wait for it
                _log.warning("embedder was not started", reason=str(exc))

    async def _start_once(self) -> None:
        if self._worker is not None:
            await self._worker.stop()
        self._worker = await WorkerLife.spawn(self._options)
        described = await self._worker.describe()
        self._description = msgspec.structs.replace(described, sha256=self._sha256)
        self._trouble = ""
        self._ready.set_result(self._worker)

    def _rows(self, vectors: Vectors) -> Vectors32:
        return np.frombuffer(vectors.data, dtype="<f4").reshape(-1, self.description.dimensions)


def _full() -> BackendBusy:
    return BackendBusy(f"{MAX_WAITING} requests are waiting for the embedder")


def _starting() -> BackendStarting:
    return BackendStarting("the embedder is still starting")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
