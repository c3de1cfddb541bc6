"""One life of the embedder's process, from the parent's side: spawn, exchanges in their order, a sure stop."""

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from indexer.embedder.protocol import LENGTH, MAX_FRAME_BYTES, ModelDescription, Refused, Response, response_decoder
from indexer.embedding.errors import EmbedderDied, EmbeddingFault, NeverBegun, TextTooLong

START_TIMEOUT_SECONDS: Final = 120.0
HANG_TIMEOUT_SECONDS: Final = 120.0

_STOP_TIMEOUT_SECONDS: Final = 5.0
_DYING_SECONDS: Final = 1.0
_LAST_WORDS: Final = 5

T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)


class EmbedderOptions(msgspec.Struct, frozen=True):
    """How to run an embedder.

    Attributes:
        model: path of the GGUF file.
        threads: how many it computes with.
        steps_back: niceness that it has, further than whoever starts it.
    """

    model: Path
    threads: int = 1
    steps_back: int = 0


class WorkerLife:
    """One life of the process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._logging = asyncio.create_task(self._keep_log())
        self._began = time.monotonic()
        self.answered = False
        self._answers = asyncio.Lock()
        self._died = False

    @classmethod
    async def spawn(cls, options: EmbedderOptions) -> "WorkerLife":
        """Start the process, in a session of its own: the system shares processors out among sessions."""
        command = [sys.executable, "-P", "-m", "indexer.embedder.worker", str(options.model)]
        command += ["--threads", str(options.threads), "--steps-back", str(options.steps_back)]
        command += ["--parent", str(os.getpid())]
        pipe = asyncio.subprocess.PIPE
        try:
            return cls(
                await asyncio.create_subprocess_exec(
                    *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
                )
            )
        except OSError as exc:
            raise EmbedderDied(f"the embedder's process cannot be made: {exc}") from exc

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still be asked, and answer."""
        requests, responses = self._process.stdin, self._process.stdout
        ended = requests is None or requests.is_closing() or responses is None or responses.at_eof()
        return self._process.returncode is None and not ended

    def seconds(self) -> float:
        """For how long there has been this process."""
        return time.monotonic() - self._began

    async def ended(self) -> None:
        """Wait until it ends."""
        await self._process.wait()

    async def describe(self) -> ModelDescription:
        """What it says of its model once it is loaded."""
        return expect(await self._receive(START_TIMEOUT_SECONDS), ModelDescription)

    async def exchange(self, frame: bytes) -> Response:
        """Send a request and wait for its response; one may be sent while others are answered, which is in their order.

        Raises:
            EmbedderDied: the process ended over this request.
            NeverBegun: it ended before.
        """
        assert self._process.stdin is not None  # noqa: S101 - it was made with pipes
        if self._process.stdin.is_closing():  # what is written then is a fault of ours to uvloop, and lost to asyncio
            raise NeverBegun("the embedder has ended")
        self._process.stdin.write(frame)
        async with self._answers:  # is given to whoever asked for it first
            if self._died:
                raise NeverBegun("the embedder has ended over another request")
            try:
                async with asyncio.timeout(HANG_TIMEOUT_SECONDS):
                    await self._process.stdin.drain()
            except (ConnectionError, TimeoutError) as exc:
                raise await self._death() from exc
            response = await self._receive(HANG_TIMEOUT_SECONDS)
            self.answered = True
            return response

    async def stop(self) -> None:
        """Close its input, which ends it; kill it if that does not."""
        with contextlib.suppress(ConnectionError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        await self._end(_STOP_TIMEOUT_SECONDS)

    async def _receive(self, seconds: float) -> Response:
        assert self._process.stdout is not None  # noqa: S101 - it was made with pipes
        try:
            async with asyncio.timeout(seconds):
                frame = await receive_frame(self._process.stdout)
            response: Response = response_decoder.decode(frame)
        except (EOFError, ConnectionError, TimeoutError, msgspec.DecodeError) as exc:
            raise await self._death() from exc
        return response

    async def _death(self) -> EmbedderDied:
        self._died = True
        await self._end(_DYING_SECONDS)
        words = "; ".join(self._last_words)
        return EmbedderDied(f"the embedder ended with status {self._process.returncode} {words}".rstrip())

    async def _end(self, seconds: float) -> None:
        """Wait for the end, and force it when the time is up.

        Killing at once would reap a process that has just died, behind the back of asyncio, and lose its status.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait([self._logging])

    async def _keep_log(self) -> None:
        """Standard error, line by line; llama.cpp says there what it dies of."""
        assert self._process.stderr is not None  # noqa: S101 - it was made with pipes
        with contextlib.suppress(ValueError, ConnectionError):  # a line beyond the reader's limit
            async for line in self._process.stderr:
                words = line.decode(errors="replace").rstrip()
                self._last_words.append(words)
                _log.info("embedder says", line=words)


def expect(response: Response, kind: type[T]) -> T:
    """A response of the kind that is due, or the error that stands in its place."""
    if isinstance(response, kind):
        return response
    if isinstance(response, Refused):
        raise TextTooLong(response.detail) if response.too_long else EmbeddingFault(response.detail)
    raise EmbeddingFault(f"the embedder gave {type(response).__name__} where {kind.__name__} was due")


async def receive_frame(stream: asyncio.StreamReader) -> bytes:
    """As `indexer.embedder.protocol.read_frame`.

    Raises:
        EOFError: the other side is gone.
    """
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise EOFError(f"a frame of {length} bytes is none of ours")
    return await stream.readexactly(length)
